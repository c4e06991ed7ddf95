//! Writes a backup as a stream: never holds more than a block, the records, and the CIDs of the
//! blocks that were written.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use bytes::Bytes;
use craftec_core::{Cid, cbor, record::Record as Signed};
use craftec_obj::{
    BlockSource, car,
    read::{WalkLimits, walk},
    store::{Meta, PinReason},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, LocalBoxStream},
};
use serde_bytes::ByteBuf;

use super::{
    BackupError,
    parts::ROOTS,
    record::{About, Identity, Object, Placed, Record, Settings, VERSION},
    seal::{DERIVATION, Derivation, FRAME_BYTES, Fresh, Sealer, TAG_BYTES},
};
use crate::{
    Node,
    lending::LEND,
    serving::{Chosen, SERVE},
    session::SiteRecord,
};

/// Bytes of a file that are gathered before they are handed on.
const PIECE_BYTES: usize = 256 << 10;

/// What a backup will hold.
pub(crate) struct Plan {
    /// The records, in their order, and the end of them.
    pub(super) records: Vec<u8>,
    pub(super) roots: Vec<Cid>,
    /// About how long the file will be.
    pub(crate) bytes: u64,
}

impl Plan {
    /// Objects in it.
    pub(crate) fn objects(&self) -> u64 {
        self.roots.len() as u64
    }
}

/// Gathers what is one's own at this moment.
pub(crate) fn plan(node: &Node) -> Result<Plan, BackupError> {
    let mut objects = Vec::new();
    let mut bytes = 0;
    for (root, about) in node.objects.records()? {
        let pins = node.store.pins_of(&root)?.into_iter();
        let pins = pins.filter(|pin| pin.reason != PinReason::Lent).collect();
        bytes += about.block_bytes;
        objects.push(Object { root, about, pins });
    }
    let roots: Vec<Cid> = objects.iter().map(|object| object.root).collect();
    let about = About {
        v: VERSION,
        agent: node.config.agent.clone(),
        did: node.keys.did(),
        time_ms: node.ports.clock.now().0,
        objects: roots.len() as u64,
        bytes,
    };
    let entropy = ByteBuf::from(node.keys.entropy().to_vec());
    let identity = Identity { entropy, log: node.keys.log().clone() };
    let mut records = Vec::new();
    let mut add = |record: Record| -> Result<(), BackupError> {
        records.extend(record.frame()?);
        Ok(())
    };
    add(Record::About(about))?;
    add(Record::Identity(identity))?;
    add(Record::Settings(settings(node)?))?;
    objects.into_iter().try_for_each(|object| add(Record::Object(object)))?;
    for (_, value) in node.store.meta_scan(Meta::Site)? {
        add(Record::Site(SiteRecord::read(&value)?))?;
    }
    for (_, value) in node.store.meta_scan(Meta::Head)? {
        match cbor::decode(&value, craftec_core::limits::RECORD_BYTES)? {
            Signed::Head(head) => add(Record::Head(head))?,
            Signed::Placement(_) => {}
        }
    }
    for root in &roots {
        if let Some(value) = node.store.meta_get(Meta::Placement, root.to_bytes())? {
            let record = ByteBuf::from(value);
            add(Record::Placement(Placed { root: *root, record }))?;
        }
    }
    records.extend(0_u32.to_be_bytes());
    let content = bytes + records.len() as u64;
    let bytes = content + (content / FRAME_BYTES as u64 + 1) * TAG_BYTES as u64;
    Ok(Plan { records, roots, bytes })
}

fn settings(node: &Node) -> Result<Settings, BackupError> {
    let lend = node.store.meta_get(Meta::Node, LEND)?;
    let lend = lend.and_then(|bytes| bytes.as_ref().try_into().ok().map(u64::from_be_bytes));
    let serve = node.store.meta_get(Meta::Node, SERVE)?;
    let serve = serve.map(|bytes| Chosen::decode(&bytes)).transpose()?;
    Ok(Settings { lend, serve })
}

/// The file of a plan. Blocks that are missing here are fetched; one that nobody has ends the stream
/// with an error, and what was written by then is no backup.
pub(crate) fn stream(
    node: Rc<Node>,
    plan: Plan,
    passphrase: &str,
) -> Result<LocalBoxStream<'static, Result<Bytes, BackupError>>, BackupError> {
    let mut fresh = Fresh { salt: [0; 16], prefix: [0; 19] };
    node.ports.entropy.fill(&mut fresh.salt);
    node.ports.entropy.fill(&mut fresh.prefix);
    let content = content(plan, move |root| Rc::new(node.objects.reader(root)));
    sealed(content, passphrase, DERIVATION, fresh)
}

/// `content` in its envelope.
pub(super) fn sealed(
    content: LocalBoxStream<'static, Result<Bytes, BackupError>>,
    passphrase: &str,
    derivation: Derivation,
    fresh: Fresh,
) -> Result<LocalBoxStream<'static, Result<Bytes, BackupError>>, BackupError> {
    let mut head = Vec::new();
    let sealer = Sealer::new(passphrase, derivation, fresh, &mut head)?;
    let step = |(mut content, sealer, mut out): State| async move {
        let Some(mut sealer) = sealer else { return Ok(None) };
        while out.len() < PIECE_BYTES {
            match content.next().await {
                Some(bytes) => sealer.push(&bytes?, &mut out)?,
                None => {
                    sealer.finish(&mut out)?;
                    return Ok(Some((Bytes::from(out), (content, None, Vec::new()))));
                }
            }
        }
        Ok(Some((Bytes::from(out), (content, Some(sealer), Vec::new()))))
    };
    Ok(stream::try_unfold((content, Some(sealer), head), step).boxed_local())
}

type State = (LocalBoxStream<'static, Result<Bytes, BackupError>>, Option<Sealer>, Vec<u8>);

/// Records, then the CAR.
pub(super) fn content(
    plan: Plan,
    source: impl Fn(Cid) -> Rc<dyn BlockSource> + 'static,
) -> LocalBoxStream<'static, Result<Bytes, BackupError>> {
    let Plan { records, roots, .. } = plan;
    let named = roots.iter().take(ROOTS).copied().collect();
    let header = car::header(named).map_err(BackupError::from);
    let head = stream::iter([Ok(Bytes::from(records)), header]);
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    let blocks = stream::iter(roots).flat_map(move |root| {
        let seen = seen.clone();
        let fresh = move |block: &craftec_obj::Block| seen.borrow_mut().insert(*block.cid());
        walk(source(root), root, WalkLimits::default())
            .try_filter(move |block| std::future::ready(fresh(block)))
            .map_err(BackupError::from)
            .map_ok(|block| stream::iter(car::frame(&block).map(Ok::<_, BackupError>)))
            .try_flatten()
    });
    head.chain(blocks).boxed_local()
}
