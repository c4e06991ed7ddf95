//! DNS: the app's name and any site's must lead to this node.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use craftec_core::{Cid, Codec};

use super::{Check, Verdict, addr::is_public};
use crate::{cli::Group, config::Settings};

/// How long the resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Found = io::Result<BTreeSet<IpAddr>>;

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check::new(Group::Names, name, verdict, found)
}

/// The app's name, and a site's that nobody has asked for before, so that no cache knows it.
pub(super) async fn checks(settings: &Settings) -> Vec<Check> {
    let app = format!("app.{}", settings.domain);
    let mut random = [0; 32];
    let made = getrandom::fill(&mut random);
    if let Err(error) = made {
        return vec![check("site", Verdict::Problem, format!("no random bytes: {error}"))];
    }
    let site = format!("{}.{}", Cid::of(Codec::DagPb, &random), settings.domain);
    let (app_found, site_found) = (resolve(&app).await, resolve(&site).await);
    if settings.domain == "localhost" || settings.domain.ends_with(".localhost") {
        return vec![
            local("app", &app, app_found, settings),
            local("site", &short(&site), site_found, settings),
        ];
    }
    let same = match (&app_found, &site_found) {
        (Ok(app), Ok(site)) => app == site,
        _ => true,
    };
    let mut checks = vec![
        public("app", &app, app_found, settings),
        public("site", &short(&site), site_found, settings),
    ];
    if !same {
        let found = "the app and the sites lead to different machines";
        checks.push(
            check("wildcard", Verdict::Warning, found)
                .advice("Give both the same addresses, unless that is meant."),
        );
    }
    checks
}

/// A site's name without the middle of its CID.
fn short(site: &str) -> String {
    format!("{}…{}", &site[..8], &site[59..])
}

async fn resolve(name: &str) -> Found {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer");
    let found = tokio::net::lookup_host((name, 0));
    let found = tokio::time::timeout(PATIENCE, found).await.map_err(|_| late())??;
    Ok(found.map(|addr: SocketAddr| addr.ip()).collect())
}

fn list(ips: &BTreeSet<IpAddr>) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Names below `localhost` are this machine for every browser, whatever the resolver says.
fn local(name: &'static str, host: &str, found: Found, settings: &Settings) -> Check {
    let elsewhere = |ips: &BTreeSet<IpAddr>| ips.iter().any(|ip| !ip.is_loopback());
    let result = match found {
        Ok(ips) if ips.is_empty() || elsewhere(&ips) => {
            let found = format!("{host} leads to {}, not to this machine", list(&ips));
            check(name, Verdict::Problem, found)
                .advice("Names below localhost must be loopback: mend /etc/hosts or the resolver.")
        }
        Ok(ips) => check(name, Verdict::Ok, format!("{host} is {}", list(&ips))),
        Err(error) => {
            let found = format!("{host} is unknown to this system's resolver ({error})");
            check(name, Verdict::Ok, found).advice(
                "Browsers and curl take names below localhost for this machine all the same; other \
                 programs may not.",
            )
        }
    };
    if settings.http.ip().is_loopback() {
        return result;
    }
    result.advice(format!(
        "HTTP listens on {}, but other machines take this domain for themselves: set `domain` to a \
         name that leads here.",
        settings.http
    ))
}

fn public(name: &'static str, host: &str, found: Found, settings: &Settings) -> Check {
    let record = match name {
        "app" => format!("app.{} with this machine's address", settings.domain),
        _ => format!("*.{} (a wildcard) with this machine's address", settings.domain),
    };
    match found {
        Ok(ips) if !ips.is_empty() => {
            let ours = ips.iter().any(|ip| ip.is_loopback() || is_here(*ip));
            let found = format!("{host} is {}", list(&ips));
            let outside = ips.iter().all(|ip| is_public(*ip));
            match (ours, outside) {
                (true, true) => {
                    check(name, Verdict::Ok, format!("{found}, an address of this machine"))
                }
                (true, false) => {
                    check(name, Verdict::Warning, format!("{found}: this machine only"))
                        .advice("Others can't reach it by that name: give it the public address.")
                }
                (false, true) => {
                    let found = format!("{found}, which no interface of this machine has");
                    check(name, Verdict::Unknown, found)
                        .advice("Right where a proxy or a router is in front; wrong where not.")
                }
                (false, false) => {
                    let found = format!("{found}, a private address that is not this machine's");
                    check(name, Verdict::Warning, found).advice(format!("Set the record {record}."))
                }
            }
        }
        Ok(_) => check(name, Verdict::Problem, format!("{host} has no address"))
            .advice(format!("Set the record {record}.")),
        Err(error) => check(name, Verdict::Problem, format!("{host}: {error}"))
            .advice(format!("Set the record {record}.")),
    }
}

/// Whether an interface of this machine has the address: only then can it be bound.
fn is_here(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn verdicts_follow_where_a_name_leads() {
        let cli = crate::cli::Cli::parse_from(["craftec", "--data", "/nowhere", "doctor"]);
        let settings = Settings::without_file(&cli).unwrap();
        let ips = |text: &str| Ok(text.split(' ').map(|ip| ip.parse().unwrap()).collect());
        let of = |check: Check| check.verdict;
        let local = |found| of(local("app", "app.craftec.localhost", found, &settings));
        assert_eq!(local(ips("127.0.0.1 ::1")), Verdict::Ok);
        assert_eq!(local(ips("192.0.2.1")), Verdict::Problem);
        assert_eq!(local(Err(io::Error::other("unknown"))), Verdict::Ok, "browsers know it");
        let public = |found| of(public("app", "app.example.org", found, &settings));
        assert_eq!(public(Err(io::Error::other("unknown"))), Verdict::Problem);
        assert_eq!(public(ips("127.0.0.1")), Verdict::Warning);
        assert_eq!(public(ips("10.255.255.254")), Verdict::Warning);
        assert_eq!(public(ips("1.1.1.1")), Verdict::Unknown, "a proxy's, perhaps");
        let site = format!("{}.example.org", Cid::of(Codec::DagPb, b"x"));
        assert!(short(&site).ends_with("….example.org"));
    }
}
