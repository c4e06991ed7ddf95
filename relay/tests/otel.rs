//! Traces, as a collector receives them: a small one of this test's own on loopback.

#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use support::{Daemon, Home};

/// Accepts OTLP/HTTP and hands on each body with the path it came to.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                    let mut length = 0;
                    while line.trim() != "" {
                        line.clear();
                        reader.read_line(&mut line).unwrap();
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    reader.get_mut().write_all(answer).unwrap();
                    if sender.send((path, body)).is_err() {
                        return;
                    }
                } else {
                    break;
                }
            }
        }
    });
    (url, received)
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn requests_and_commands_become_spans() {
    let (url, received) = collector();
    let mut daemon = Daemon::start_in(Home::new(), &["--otlp", &url]);
    assert_eq!(daemon.get("localhost", "/readyz").status, 200);
    let secret = "/ipfs/a-path-that-nobody-else-learns";
    daemon.get("localhost", secret);
    assert_eq!(daemon.stop(), 0, "what waits is sent before the end");
    let mut bodies = Vec::new();
    while let Ok((path, body)) = received.recv_timeout(Duration::from_secs(5)) {
        assert_eq!(path, "/v1/traces");
        bodies.extend(body);
        if has(&bodies, "gateway") {
            break;
        }
    }
    for wanted in ["craftec", "http", "service", "gateway", "command", "Status"] {
        assert!(has(&bodies, wanted), "{wanted} is in no span");
    }
    assert!(!has(&bodies, "nobody-else-learns"), "paths stay here");
}

#[test]
fn a_collector_that_is_not_there_costs_nothing() {
    let mut daemon = Daemon::start_in(Home::new(), &["--otlp", "http://127.0.0.1:1"]);
    assert_eq!(daemon.get("localhost", "/readyz").status, 200);
    assert_eq!(daemon.stop(), 0);
}
