//! The bytes of a file, in order, as they arrive.
//!
//! Only parts that hold bytes of the range are asked for, and always as many at once as are known,
//! so that a source can fetch ahead: a node's leaves in one request, together with the next node
//! beside it. Holds the links of the nodes on the way, never more content than one block.

use std::{collections::VecDeque, ops::Range, rc::Rc};

use bytes::Bytes;
use craftec_core::{Cid, Codec, limits};
use futures::{
    StreamExt,
    stream::{self, LocalBoxStream},
};

use super::{BlockSource, next, node};
use crate::{
    block::Block,
    error::ObjError,
    unixfs::{File, Node, NodeError},
};

/// Parts asked for in one request of the source.
const GROUP: usize = 1024;

/// A file that is open for reading.
pub struct Content {
    /// Length of the whole file in bytes, not of the range.
    pub size: u64,
    /// The bytes of the range, in order, in pieces of any length but 0. The first error ends it.
    pub bytes: LocalBoxStream<'static, Result<Bytes, ObjError>>,
}

/// Opens the file `cid` for the bytes of `range`; what lies beyond the end is left out. `None` is
/// the whole file.
pub async fn content(
    source: Rc<dyn BlockSource>,
    cid: Cid,
    range: Option<Range<u64>>,
) -> Result<Content, ObjError> {
    let (block, node) = node(&*source, cid).await?;
    let range = range.unwrap_or(0..u64::MAX);
    let (size, bytes) = match node {
        None => {
            let bytes = overlap(block.bytes(), 0, &range).into_iter().map(Ok);
            (block.len() as u64, stream::iter(bytes).boxed_local())
        }
        Some(Node::File(file)) => {
            let size = file.size;
            let mut reader = Reader::new(source, range);
            reader.open(file, 0, 0);
            let bytes = stream::try_unfold(reader, async |mut reader| {
                Ok(reader.next().await?.map(|bytes| (bytes, reader)))
            });
            (size, bytes.boxed_local())
        }
        Some(Node::Folder(_) | Node::Shard(_)) => return Err(ObjError::NotAFile { cid }),
    };
    Ok(Content { size, bytes })
}

/// What `range` takes of `bytes`, which begin at `offset`.
fn overlap(bytes: &Bytes, offset: u64, range: &Range<u64>) -> Option<Bytes> {
    let len = bytes.len() as u64;
    let start = range.start.saturating_sub(offset).min(len);
    let end = range.end.saturating_sub(offset).min(len);
    (start < end).then(|| bytes.slice(start as usize..end as usize))
}

/// A part of the file that is still to be read.
#[derive(Clone, Copy)]
struct Part {
    cid: Cid,
    /// Where its bytes begin in the file.
    offset: u64,
    /// How many bytes it has, as its parent claims.
    size: u64,
    /// Links from the root to it.
    depth: usize,
}

struct Reader {
    source: Rc<dyn BlockSource>,
    range: Range<u64>,
    /// Bytes of a node itself, to be given before any part.
    inline: Option<Bytes>,
    /// In the order of the file, at its front.
    parts: VecDeque<Part>,
    /// What was asked for: the first `asked` of `parts`.
    blocks: LocalBoxStream<'static, Result<Block, ObjError>>,
    asked: usize,
}

impl Reader {
    fn new(source: Rc<dyn BlockSource>, range: Range<u64>) -> Self {
        let blocks = stream::empty().boxed_local();
        Self { source, range, inline: None, parts: VecDeque::new(), blocks, asked: 0 }
    }

    /// Puts the parts of a node, whose bytes begin at `offset`, before all others.
    fn open(&mut self, file: File, offset: u64, depth: usize) {
        let mut end = offset + file.inline.len() as u64;
        self.inline = overlap(&Bytes::from(file.inline), offset, &self.range);
        let mut parts = Vec::new();
        for link in &file.links {
            let start = end;
            end += link.size;
            // Empty parts are never read: they could be many, and say nothing.
            if start.max(self.range.start) < end.min(self.range.end) {
                let (cid, size) = (link.cid, link.size);
                parts.push(Part { cid, offset: start, size, depth: depth + 1 });
            }
        }
        for part in parts.into_iter().rev() {
            self.parts.push_front(part);
        }
    }

    /// The next bytes.
    async fn next(&mut self) -> Result<Option<Bytes>, ObjError> {
        loop {
            if let Some(bytes) = self.inline.take() {
                return Ok(Some(bytes));
            }
            if self.asked == 0 {
                self.ask();
            }
            let Some(part) = self.parts.pop_front() else { return Ok(None) };
            self.asked -= 1;
            let block = next(&mut self.blocks, part.cid).await?;
            let found = self.read(part, block)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Asks for leaves up to the next inner node, and for that node.
    fn ask(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        let leaves = self.parts.iter().take_while(|part| part.cid.codec() == Codec::Raw).count();
        self.asked = self.parts.len().min(leaves + 1).min(GROUP);
        let wants = self.parts.iter().take(self.asked).map(|part| part.cid);
        self.blocks = self.source.blocks(wants.collect());
    }

    /// Takes the bytes of a leaf, or opens an inner node.
    fn read(&mut self, part: Part, block: Block) -> Result<Option<Bytes>, ObjError> {
        let wrong = |reason| {
            let source = NodeError::Shape { reason };
            ObjError::Corrupt { cid: part.cid, source }
        };
        if part.cid.codec() == Codec::Raw {
            if block.len() as u64 != part.size {
                return Err(wrong("a leaf of another length than its parent claims"));
            }
            return Ok(overlap(block.bytes(), part.offset, &self.range));
        }
        if part.depth > limits::DAG_DEPTH {
            return Err(ObjError::Limit {
                what: "depth of a file",
                limit: limits::DAG_DEPTH as u64,
            });
        }
        match Node::decode(block.bytes()).map_err(ObjError::corrupt(&part.cid))? {
            Node::File(file) if file.size == part.size => {
                self.open(file, part.offset, part.depth);
                Ok(None)
            }
            Node::File(_) => Err(wrong("a part of another length than its parent claims")),
            Node::Folder(_) | Node::Shard(_) => Err(wrong("a folder as a part of a file")),
        }
    }
}
