//! A running node answers or refuses whatever strangers and clients send, and goes on: the bodies of
//! the fuzz targets, on real requests, damaged ones and noise.

#[path = "../../../fuzz/src/endpoint.rs"]
mod bodies;

use craftec_api::{Command, Range, ToNode};
use craftec_core::{Cid, Codec, Did, cbor, sign::Hash};
use craftec_obj::{
    audit::wire::{Challenge, Request as Audit},
    exchange::wire::{Have, Request, Want},
    replicate::wire::{Ask, Hold, Release},
};
use craftec_platform::{Entropy, sim::SimEntropy};

/// Damaged copies of each good input; few, because each of them starts a node.
const COPIES: usize = 6;

fn each_damaged(good: &[Vec<u8>], body: fn(&[u8])) {
    let dice = SimEntropy::new(4);
    for bytes in good {
        body(bytes);
        for _ in 0..COPIES {
            let mut damaged = bytes.clone();
            let at = dice.below(damaged.len() as u64) as usize;
            match dice.below(4) {
                0 => damaged.truncate(at),
                1 => damaged[at] = dice.below(256) as u8,
                2 => damaged.insert(at, dice.below(256) as u8),
                _ => damaged.extend_from_within(at..),
            }
            body(&damaged);
        }
    }
}

#[test]
fn strangers_are_answered_or_refused() {
    let root = Cid::of(Codec::DagPb, b"nowhere");
    let cids = vec![root, Cid::of(Codec::Raw, b"")];
    let want = Request::Want(Want { root, cids: cids.clone(), budget: u64::MAX });
    let have = Request::Have(Have { cids });
    let owner = Did(Hash([1; 32]));
    let heads = vec![vec![7; 40].into()];
    let hold = Ask::Hold(Hold { root, bytes: u64::MAX, blocks: 1, owner, epoch: u64::MAX, heads });
    let release = Ask::Release(Release { root, owner });
    let challenge = |chunk| Challenge { cid: root, chunk };
    let challenges = Audit { challenges: vec![challenge(0), challenge(u32::MAX)] };
    let (exchange, replicate, audit) = ([0_u8].as_slice(), [1_u8].as_slice(), [4_u8].as_slice());
    let mut good = vec![
        [exchange, &cbor::encode(&want).unwrap()].concat(),
        [exchange, &cbor::encode(&have).unwrap()].concat(),
        [replicate, &cbor::encode(&hold).unwrap()].concat(),
        [replicate, &cbor::encode(&release).unwrap()].concat(),
        [audit, &cbor::encode(&challenges).unwrap()].concat(),
    ];
    // Noise that is no frame, and a frame that promises more than it may.
    for raw in [2, 3, 6] {
        let mut noise = vec![0; 300];
        SimEntropy::new(u64::from(raw)).fill(&mut noise);
        noise.insert(0, raw);
        good.extend([noise, vec![raw, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3]]);
    }
    each_damaged(&good, bodies::stream);
}

#[test]
fn clients_are_answered_or_refused() {
    let cid = Cid::of(Codec::DagPb, b"nowhere");
    let range = Some(Range { start: u64::MAX, end: Some(0) });
    let commands = vec![
        Command::Hello { versions: vec![0, u32::MAX] },
        Command::GetOpen { cid, path: "../..".to_owned(), range },
        Command::Stat { cid },
        Command::Unpin { cid },
        Command::PutOpen {
            replicas: Some(u16::MAX),
            redundancy: None,
            name: Some("x".repeat(300)),
        },
        Command::PutClose { handle: u64::MAX },
        Command::Resolve { name: "did:craftec:x/y".to_owned() },
        Command::Connect { addr: "/memory/0/p2p/12D3KooW".to_owned() },
        Command::LendSpace { bytes: Some(u64::MAX) },
    ];
    let frames: Vec<Vec<u8>> = commands
        .into_iter()
        .map(|command| cbor::encode(&ToNode { id: u64::MAX, command }).unwrap())
        .collect();
    each_damaged(&frames, bodies::session);
}
