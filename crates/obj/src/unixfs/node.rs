//! A UnixFS node as files and folders see it: what its links and its message mean together.
//!
//! Decoding checks that the two agree (sizes add up, names are allowed and in order, the bitfield
//! names the links); it never checks what is inside the linked blocks.

use craftec_core::{Cid, Codec};

use super::{
    NodeError,
    data::{Data, Kind},
    hamt::Shard,
    path::check_name,
    pb::{PbLink, PbNode},
};

/// A decoded node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file, or an inner node of one.
    File(File),
    /// A folder in one block: its entries, ascending by the bytes of their names.
    Folder(Vec<FolderLink>),
    /// A shard of a folder that is spread over several blocks.
    Shard(Shard),
}

/// A file or a part of one: first its own bytes, then those of its links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Bytes held in the node itself.
    pub inline: Vec<u8>,
    /// What follows them.
    pub links: Vec<FileLink>,
    /// All bytes together.
    pub size: u64,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLink {
    /// A raw leaf or another file node.
    pub cid: Cid,
    /// Content bytes below it, as its parent claims.
    pub size: u64,
    /// Bytes of all blocks from it down, as its parent claims.
    pub tsize: u64,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderLink {
    /// Its name.
    pub name: String,
    /// A raw block, a file or a folder.
    pub cid: Cid,
    /// Bytes of all blocks from it down, as the folder claims.
    pub tsize: u64,
}

impl Node {
    /// Reads a dag-pb block.
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        let node = PbNode::decode(bytes)?;
        let message = node.data.as_deref();
        let message = message.ok_or(NodeError::Shape { reason: "no UnixFS message in it" })?;
        let data = Data::decode(message)?;
        if !matches!(data.kind, Kind::Shard) && (data.hash_code.or(data.fan_out)).is_some() {
            return Err(NodeError::Shape { reason: "a hash function outside of a shard" });
        }
        match data.kind {
            Kind::Raw | Kind::File => File::read(node.links, data).map(Self::File),
            Kind::Folder => folder(node.links, &data).map(Self::Folder),
            Kind::Shard => Shard::read(node.links, data).map(Self::Shard),
        }
    }
}

impl File {
    fn read(links: Vec<PbLink>, data: Data) -> Result<Self, NodeError> {
        if links.len() != data.part_bytes.len() {
            return Err(NodeError::Shape { reason: "not one block size for each link" });
        }
        let inline = data.bytes.unwrap_or_default();
        let mut size = inline.len() as u64;
        let mut parts = Vec::with_capacity(links.len());
        for (link, part_bytes) in links.into_iter().zip(data.part_bytes) {
            if link.cid.codec() == Codec::DagCbor {
                return Err(NodeError::Shape { reason: "a part of a file that holds no bytes" });
            }
            size = size
                .checked_add(part_bytes)
                .ok_or(NodeError::Shape { reason: "block sizes that overflow" })?;
            parts.push(FileLink { cid: link.cid, size: part_bytes, tsize: link.tsize });
        }
        if data.file_bytes.is_some_and(|claimed| claimed != size) {
            return Err(NodeError::Shape { reason: "a file size other than the sum of its parts" });
        }
        Ok(Self { inline, links: parts, size })
    }

    /// The canonical block of this node.
    pub fn encode(&self) -> Vec<u8> {
        let mut data = Data::new(Kind::File);
        data.bytes = (!self.inline.is_empty()).then(|| self.inline.clone());
        data.file_bytes = Some(self.size);
        data.part_bytes = self.links.iter().map(|link| link.size).collect();
        let links = self.links.iter();
        let links =
            links.map(|link| PbLink { cid: link.cid, name: String::new(), tsize: link.tsize });
        PbNode { links: links.collect(), data: Some(data.encode()) }.encode()
    }
}

fn folder(links: Vec<PbLink>, data: &Data) -> Result<Vec<FolderLink>, NodeError> {
    if !data.part_bytes.is_empty() || data.bytes.as_ref().is_some_and(|b| !b.is_empty()) {
        return Err(NodeError::Shape { reason: "content in a folder" });
    }
    if links.windows(2).any(|pair| pair[0].name >= pair[1].name) {
        return Err(NodeError::Shape { reason: "folder entries repeated or out of order" });
    }
    let entry = |(index, PbLink { cid, name, tsize })| {
        check_name(&name).map_err(|source| NodeError::Name { index, source })?;
        Ok(FolderLink { name, cid, tsize })
    };
    links.into_iter().enumerate().map(entry).collect()
}

/// The canonical bytes of a folder in one block, whatever their length. `entries` ascend by name.
pub(super) fn encode_folder(entries: &[FolderLink]) -> Vec<u8> {
    let links = entries.iter();
    let links =
        links.map(|entry| PbLink { cid: entry.cid, name: entry.name.clone(), tsize: entry.tsize });
    PbNode { links: links.collect(), data: Some(Data::new(Kind::Folder).encode()) }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(bytes: &[u8]) -> FileLink {
        let size = bytes.len() as u64;
        FileLink { cid: Cid::of(Codec::Raw, bytes), size, tsize: size }
    }

    #[test]
    fn a_file_node_reads_back_and_its_sizes_must_add_up() {
        let file = File { inline: b"head".to_vec(), links: vec![raw(b"a"), raw(b"bc")], size: 7 };
        assert_eq!(Node::decode(&file.encode()), Ok(Node::File(file.clone())));
        let wrong = File { size: 8, ..file.clone() }.encode();
        assert!(matches!(Node::decode(&wrong), Err(NodeError::Shape { .. })));
        let huge = FileLink { size: u64::MAX, ..raw(b"a") };
        let overflow = File { links: vec![huge, huge], ..file }.encode();
        assert!(matches!(Node::decode(&overflow), Err(NodeError::Shape { .. })));
    }

    #[test]
    fn a_folder_must_be_sorted_and_hold_allowed_names() {
        let entry = |name: &str| {
            let cid = Cid::of(Codec::Raw, name.as_bytes());
            FolderLink { name: name.to_owned(), cid, tsize: 1 }
        };
        let good = vec![entry("B"), entry("a"), entry("é")];
        assert_eq!(Node::decode(&encode_folder(&good)), Ok(Node::Folder(good)));
        assert_eq!(encode_folder(&[]), [0x0a, 2, 8, 1]);
        for names in [["a", "B"], ["a", "a"]] {
            let bytes = encode_folder(&names.map(entry));
            assert!(matches!(Node::decode(&bytes), Err(NodeError::Shape { .. })), "{names:?}");
        }
        for name in ["", "..", "a/b", "a\0"] {
            let bytes = encode_folder(&[entry(name)]);
            let error = Node::decode(&bytes);
            assert!(matches!(error, Err(NodeError::Name { index: 0, .. })), "{name:?}");
        }
    }

    #[test]
    fn symbolic_links_and_bare_nodes_are_refused_by_name() {
        let node = |data| PbNode { links: vec![], data }.encode();
        assert_eq!(Node::decode(&node(Some(vec![8, 4]))), Err(NodeError::Kind { kind: 4 }));
        assert!(matches!(Node::decode(&node(None)), Err(NodeError::Shape { .. })));
        assert!(matches!(Node::decode(&node(Some(vec![]))), Err(NodeError::Protobuf { .. })));
    }
}
