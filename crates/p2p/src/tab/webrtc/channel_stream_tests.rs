//! Streams over a pair of channels in memory.

use super::*;
use crate::tab::webrtc::messages::fake::{FakeChannel, pair};
use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, poll};

type End = ChannelStream<FakeChannel>;
type Farewells = mpsc::UnboundedReceiver<Farewell<FakeChannel>>;

fn streams() -> ((End, Farewells), (End, Farewells)) {
    let (a, b) = pair();
    let end = |channel| {
        let (tx, rx) = mpsc::unbounded();
        (ChannelStream::new(channel, tx), rx)
    };
    (end(a), end(b))
}

/// An end of which the test holds the raw other side.
fn stream_and_channel() -> (End, Farewells, FakeChannel) {
    let (a, b) = pair();
    let (tx, rx) = mpsc::unbounded();
    (ChannelStream::new(a, tx), rx, b)
}

async fn say(channel: &mut FakeChannel, message: &[u8]) {
    std::future::poll_fn(|cx| channel.poll_send(cx, message)).await.unwrap();
}

fn last(farewells: &mut Farewells) -> Farewell<FakeChannel> {
    farewells.try_recv().unwrap()
}

#[test]
fn halves_close_apart_and_the_end_is_confirmed() {
    block_on(async {
        let ((mut a, mut a_last), (mut b, mut b_last)) = streams();
        let request = vec![1; 100_000];
        a.write_all(&request).await.unwrap();
        a.close().await.unwrap();
        let mut got = Vec::new();
        b.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, request);
        b.write_all(b"answer").await.unwrap();
        b.close().await.unwrap();
        got.clear();
        a.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer");
        drop((a, b));
        let (a, b) = (last(&mut a_last), last(&mut b_last));
        futures::join!(a, b);
    });
}

#[test]
fn the_channel_stays_until_the_end_is_confirmed() {
    block_on(async {
        let (mut a, mut farewells, mut peer) = stream_and_channel();
        a.write_all(b"x").await.unwrap();
        a.close().await.unwrap();
        say(&mut peer, &Flag::Fin.encode()).await;
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
        drop(a);
        let mut farewell = last(&mut farewells);
        assert!(poll!(&mut farewell).is_pending());
        assert!(!farewell.wire.messages.is_closed());
        say(&mut peer, &Flag::FinAck.encode()).await;
        farewell.await;
    });
}

#[test]
fn a_cut_off_channel_is_not_a_clean_end() {
    block_on(async {
        let (mut a, _farewells, mut peer) = stream_and_channel();
        say(&mut peer, &encode_data(b"half").0).await;
        peer.close();
        let mut got = Vec::new();
        let error = a.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.as_slice(), error.kind()), (&b"half"[..], io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn reset_breaks_both_halves_and_stop_sending_one() {
    block_on(async {
        let (mut a, _farewells, mut peer) = stream_and_channel();
        say(&mut peer, &Flag::Reset.encode()).await;
        let kind = a.read(&mut [0; 8]).await.unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::ConnectionReset);
        assert_eq!(a.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

        let (mut a, _farewells, mut peer) = stream_and_channel();
        say(&mut peer, &Flag::Fin.encode()).await;
        say(&mut peer, &Flag::StopSending.encode()).await;
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(a.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stream_dropped_half_way_resets_or_stops_the_other_side() {
    block_on(async {
        let (a, mut farewells, peer) = stream_and_channel();
        drop(a);
        last(&mut farewells).await;
        drop(peer);

        let ((mut a, mut a_last), (mut b, _b_last)) = streams();
        a.close().await.unwrap();
        drop(a);
        let mut farewell = last(&mut a_last);
        assert!(poll!(&mut farewell).is_pending());
        let stop = farewell.wire.messages.sent().last().unwrap().to_vec();
        assert_eq!(stop, Flag::StopSending.encode());
        assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(b.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_malformed_frame_is_an_error() {
    block_on(async {
        let (mut a, _farewells, mut peer) = stream_and_channel();
        say(&mut peer, &[2, 0x12, 5]).await;
        let kind = a.read(&mut [0; 8]).await.unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::InvalidData);
    });
}
