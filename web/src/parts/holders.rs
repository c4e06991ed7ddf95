//! Who holds a root: one row a holder, with how it is reached, what it took and what it signed.

use std::collections::BTreeMap;

use leptos::prelude::*;

use super::{
    marks::{icon, link_words, peer_id, role_words, wire},
    words::waiting,
};
use crate::{
    node::{
        NodeState, TransferKey,
        types::{Holder, Peer, Transfer, Way},
    },
    say,
};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Who.
    pub(crate) peer_id: String,
    /// How it is reached, where it is connected.
    pub(crate) peer: Option<Peer>,
    /// Bytes it took.
    pub(crate) sent: u64,
    /// Of these many, where known.
    pub(crate) total: Option<u64>,
    /// What it said.
    pub(crate) state: State,
}

/// What a holder said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It signed that it keeps a whole copy.
    Signed,
    /// It takes its copy now.
    Taking,
    /// It was asked.
    Asked,
    /// It refused, or failed.
    Failed(String),
    /// It is not connected and has not signed.
    Away,
}

impl State {
    fn words(&self, row: &Row) -> String {
        match self {
            Self::Signed if row.peer.is_none() => "Signed for, away now".into(),
            Self::Signed => "Stored, signed for".into(),
            Self::Taking => match row.total {
                Some(total) => format!("Sending, {}", say::bytes_of(row.sent.min(total), total)),
                None => format!("Sending, {}", say::bytes(row.sent)),
            },
            Self::Asked => "Asked".into(),
            Self::Failed(why) => why.clone(),
            Self::Away => "Away".into(),
        }
    }
}

/// Joins what is known of a root's holders: the node's word, the transfers, and who is connected.
pub(crate) fn rows(
    root: &str,
    holders: &[Holder],
    transfers: &BTreeMap<TransferKey, Transfer>,
    peers: &[Peer],
) -> Vec<Row> {
    let mut by_peer: BTreeMap<&str, (Option<&Holder>, Option<&Transfer>)> = BTreeMap::new();
    for holder in holders {
        by_peer.entry(&holder.peer).or_default().0 = Some(holder);
    }
    let ours = transfers.values().filter(|t| t.cid == root && t.kind == Way::Replicate);
    for transfer in ours {
        by_peer.entry(&transfer.peer).or_default().1 = Some(transfer);
    }
    let row = |(id, (holder, transfer)): (&str, (Option<&Holder>, Option<&Transfer>))| {
        let peer = peers.iter().find(|p| p.peer_id == id).cloned();
        let signed = holder.is_some_and(|h| h.signed);
        let error = holder.and_then(|h| h.error.clone());
        let state = match (signed, error, transfer) {
            (true, ..) => State::Signed,
            (false, None, Some(t)) if !t.done => State::Taking,
            (false, Some(why), _) => State::Failed(why),
            (false, None, _) if peer.is_some() => State::Asked,
            (false, None, _) => State::Away,
        };
        let sent = holder.map_or(0, |h| h.bytes).max(transfer.map_or(0, |t| t.bytes));
        let total = transfer.and_then(|t| t.total);
        Row { peer_id: id.to_owned(), peer, sent, total, state }
    };
    by_peer.into_iter().map(row).collect()
}

/// The table of holders of `root`, live.
#[component]
pub(crate) fn Holders(
    /// The root.
    #[prop(into)]
    root: Signal<String>,
    /// Holders by the last `stat`, until an event brings newer ones; `None` while it is asked for.
    #[prop(into)]
    known: Signal<Option<Vec<Holder>>>,
    /// Said where there are none.
    none: &'static str,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let rows =
        Memo::new(move |_| {
            let root = root.get();
            let newer = state.health.with(|all| all.get(&root).map(|h| h.holders.clone()));
            let holders = newer.or_else(|| known.get())?;
            Some(state.transfers.with(|transfers| {
                state.peers.with(|peers| rows(&root, &holders, transfers, peers))
            }))
        });
    move || {
        let Some(rows) = rows.get() else {
            return waiting(state).into_any();
        };
        if rows.is_empty() {
            return view! { <p class="dim">{none}</p> }.into_any();
        }
        view! {
            <div class="over">
                <table class="dense">
                    <caption class="vh">"Holders"</caption>
                    <thead><tr>
                        <th scope="col">"Holder"</th>
                        <th scope="col" class="p2">"Kind"</th>
                        <th scope="col">"Reached"</th>
                        <th scope="col" class="wp">"Sent"</th>
                        <th scope="col">"State"</th>
                    </tr></thead>
                    <tbody>{rows.iter().map(holder_row).collect_view()}</tbody>
                </table>
            </div>
        }
        .into_any()
    }
}

fn holder_row(row: &Row) -> impl IntoView + use<> {
    let reached = row.peer.as_ref().map(|peer| {
        let rtt = peer.rtt_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
        let words = link_words(peer);
        view! {
            <span class="st">{wire(peer.link)} " " {rtt}</span>
            " " <span class="faint p2">{words}</span>
        }
    });
    let reached = reached.map_or_else(|| "Not now".into_any(), IntoAny::into_any);
    let signed = row.state == State::Signed;
    let total = row.total.unwrap_or(row.sent).max(1);
    let (value, max) = if signed { (1, 1) } else { (row.sent.min(total), total) };
    let label = format!("Sent to {}", say::tail(&row.peer_id, 4));
    let kind = row.peer.as_ref().map_or("–", |peer| role_words(peer.role));
    view! {
        <tr>
            <th scope="row">{peer_id(&row.peer_id)}</th>
            <td class="p2">{kind}</td>
            <td>{reached}</td>
            <td class="wp">
                <progress value=value.to_string() max=max.to_string() aria-label=label></progress>
            </td>
            <td>{signed.then(|| icon("#i-ok"))} " " {row.state.words(row)}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::types::{Link, Role};

    fn holder(peer: &str, signed: bool, error: Option<&str>) -> Holder {
        let error = error.map(Into::into);
        Holder { peer: peer.into(), signed, connected: true, bytes: 5, error }
    }

    fn sending(peer: &str, done: bool) -> (TransferKey, Transfer) {
        let transfer = Transfer {
            cid: "root".into(),
            kind: Way::Replicate,
            peer: peer.into(),
            bytes: 40,
            total: Some(100),
            done,
        };
        (("root".into(), Way::Replicate, peer.into()), transfer)
    }

    #[test]
    fn a_row_says_the_latest_of_each_source() {
        let holders = [
            holder("a", true, Some("old refusal")),
            holder("b", false, None),
            holder("c", false, Some("Its disk is full")),
        ];
        let transfers: BTreeMap<_, _> = [sending("b", false), sending("d", true)].into();
        let connected = Peer {
            peer_id: "d".into(),
            link: Link::Webrtc,
            role: Role::Tab,
            rtt_ms: None,
            addr: String::new(),
            via: None,
            received: 0,
            sent: 0,
        };
        let rows = rows("root", &holders, &transfers, &[connected]);
        let states: Vec<_> = rows.iter().map(|r| (r.peer_id.as_str(), &r.state)).collect();
        assert_eq!(states[0], ("a", &State::Signed));
        assert_eq!(states[1], ("b", &State::Taking));
        assert_eq!(states[2], ("c", &State::Failed("Its disk is full".into())));
        assert_eq!(states[3], ("d", &State::Asked));
        assert_eq!((rows[1].sent, rows[1].total), (40, Some(100)));
        assert_eq!(rows[1].state.words(&rows[1]), "Sending, 40 of 100 B");
        assert_eq!(rows[0].state.words(&rows[0]), "Signed for, away now");
    }

    #[test]
    fn other_roots_and_other_directions_are_not_holders() {
        let mut transfers: BTreeMap<_, _> = [sending("b", false)].into();
        let (_, mut other) = sending("e", false);
        other.kind = Way::Receive;
        transfers.insert(("root".into(), Way::Receive, "e".into()), other);
        assert_eq!(rows("another", &[], &transfers, &[]), []);
        assert_eq!(rows("root", &[], &transfers, &[]).len(), 1);
    }
}
