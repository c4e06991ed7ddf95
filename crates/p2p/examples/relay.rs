//! A native node on free ports of this machine, for tests: prints its peer id and addresses as one
//! line of JSON and runs until its standard input ends.

use std::{io::Read, sync::Arc};

use craftec_core::TransportKey;
use craftec_p2p::{
    Network, Record, RecordCheck, RecordChoice,
    native::{NativeConfig, start},
};

/// This relay keeps no records.
struct NoRecords;

impl RecordCheck for NoRecords {
    fn choose(&self, _: &Record, _: Option<&Record>) -> Result<RecordChoice, String> {
        Err("this relay keeps no records".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |arg| arg.parse())?;
    let mut config = NativeConfig::new(TransportKey::from_seed([seed; 32]), Arc::new(NoRecords));
    let port = std::env::args().nth(2).unwrap_or_else(|| "0".to_owned());
    config.listen = vec![format!("/ip4/127.0.0.1/tcp/{port}/ws")];
    let network = start(config).await?;
    let quoted: Vec<_> = network.addresses().iter().map(|a| format!("\"{a}\"")).collect();
    println!("{{\"peer\":\"{}\",\"addrs\":[{}]}}", network.local_peer(), quoted.join(","));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
