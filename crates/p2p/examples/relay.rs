//! A native node on free ports of this machine, for tests: prints its peer id and addresses as one
//! line of JSON and runs until its standard input ends.

use std::{io::Read, rc::Rc, sync::Arc};

use craftec_core::TransportKey;
use craftec_p2p::{
    Network, Record, RecordCheck, RecordChoice, Role, Rpc,
    native::{NativeConfig, start},
    pex,
};
use craftec_platform::native::{NativeClock, OsEntropy};

/// This relay keeps no records.
struct NoRecords;

impl RecordCheck for NoRecords {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Err("this relay keeps no records".to_owned())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    NativeClock::run(run())?
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |arg| arg.parse())?;
    let mut config = NativeConfig::new(TransportKey::from_seed([seed; 32]), Arc::new(NoRecords));
    let port = std::env::args().nth(2).unwrap_or_else(|| "0".to_owned());
    config.listen = vec![format!("/ip4/127.0.0.1/tcp/{port}/ws")];
    let network = start(config).await?;
    let rpc = Rpc::new(Rc::new(network.clone()), Rc::new(NativeClock::new()));
    pex::start(&rpc, Rc::new(NativeClock::new()), Rc::new(OsEntropy), Role::Relay);
    let quoted: Vec<_> = network.addresses().iter().map(|a| format!("\"{a}\"")).collect();
    println!("{{\"peer\":\"{}\",\"addrs\":[{}]}}", network.local_peer(), quoted.join(","));
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(wait).await??;
    Ok(())
}
