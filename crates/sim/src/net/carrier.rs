//! Carrying: one task per busy pipe takes what was sent, in order, through the weather.

use std::time::Duration;

use craftec_core::PeerId;
use craftec_platform::Clock;

use super::{
    fabric::Fabric,
    pipe::{Cargo, SharedPipe},
};

/// How often a cut link is tried again.
const CUT_RETRY: Duration = Duration::from_millis(500);
/// How long until a connection over a cut link is given up, as QUIC and WebRTC do.
const CUT_PATIENCE: Duration = Duration::from_secs(15);
/// Writes of a lying peer from this length on are bent: they carry blocks, not envelopes.
const BENT_BYTES: usize = 96;

impl Fabric {
    /// Takes cargo from an endpoint and sees that it is carried.
    pub(super) fn send(&self, pipe: &SharedPipe, mut cargo: Cargo) {
        let now = self.clock().monotonic();
        let mut state = pipe.borrow_mut();
        if state.silent {
            return;
        }
        if let Cargo::Data(bytes) = &mut cargo
            && state.answers
            && bytes.len() >= BENT_BYTES
            && self.is_bent(&state.from)
        {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            self.lied(&state.from, &state.to);
        }
        state.under_way.push_back((now, cargo));
        if !std::mem::replace(&mut state.carried, true) {
            let (fabric, pipe) = (self.clone(), pipe.clone());
            self.clock().spawn(Box::pin(async move { fabric.carry(pipe).await }));
        }
    }

    async fn carry(self, pipe: SharedPipe) {
        let (from, to) = {
            let pipe = pipe.borrow();
            (pipe.from, pipe.to)
        };
        loop {
            let Some((sent, cargo)) = pipe.borrow_mut().under_way.pop_front() else {
                pipe.borrow_mut().carried = false;
                return;
            };
            let bytes = match &cargo {
                Cargo::Data(bytes) => bytes.len(),
                Cargo::End | Cargo::Abort => 0,
            };
            let weather = self.weather();
            let delay = self.delay(&from, &to);
            let Some(late) = weather.mishap(self.dice(), delay, bytes) else {
                self.break_connection(&from, &to, "too many packets were lost");
                continue;
            };
            let arrival = {
                let mut pipe = pipe.borrow_mut();
                pipe.free_at = pipe.free_at.max(sent) + weather.sending(bytes);
                pipe.free_at + delay + late
            };
            let now = self.clock().monotonic();
            self.clock().sleep(arrival.saturating_sub(now)).await;
            if self.passable(&from, &to).await {
                self.arrive(&pipe, cargo);
            } else {
                self.break_connection(&from, &to, "the link is cut");
            }
        }
    }

    /// Waits while the link is cut; false if that took too long.
    async fn passable(&self, from: &PeerId, to: &PeerId) -> bool {
        let mut waited = Duration::ZERO;
        while self.is_cut(from, to) {
            if waited >= CUT_PATIENCE {
                return false;
            }
            self.clock().sleep(CUT_RETRY).await;
            waited += CUT_RETRY;
        }
        true
    }

    fn arrive(&self, pipe: &SharedPipe, cargo: Cargo) {
        let mut pipe = pipe.borrow_mut();
        if pipe.silent {
            return;
        }
        let (kind, bytes): (&str, &[u8]) = match &cargo {
            Cargo::Data(bytes) => ("data", bytes),
            Cargo::End => ("end", &[]),
            Cargo::Abort => ("abort", &[]),
        };
        let now = self.clock().monotonic();
        self.trace().record(kind, now, &pipe.from, &pipe.to, bytes);
        pipe.deliver(cargo);
    }
}
