//! Ours, and redb alone.

use std::path::Path;

use craftec_core::{Cid, cid::CID_BYTES};
use craftec_obj::{Block, Store};
use craftec_platform::native::NativeFolder;
use futures::executor::block_on;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

/// What is compared.
pub trait Blocks {
    /// Durable when it returns.
    fn commit(&mut self, blocks: &[Block]) -> anyhow::Result<()>;
    /// The length of a block whose bytes are right.
    fn read(&self, cid: &Cid) -> anyhow::Result<usize>;
    fn delete(&mut self, cids: &[Cid]) -> anyhow::Result<()>;
    /// Gives free space back to the disk, as far as it can.
    fn give_back(&mut self) -> anyhow::Result<()>;
}

/// The store of this project.
pub struct Ours(Store);

impl Ours {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self(block_on(Store::open(&NativeFolder::open(folder)?))?))
    }
}

impl Blocks for Ours {
    fn commit(&mut self, blocks: &[Block]) -> anyhow::Result<()> {
        Ok(self.0.put(blocks)?)
    }

    fn read(&self, cid: &Cid) -> anyhow::Result<usize> {
        Ok(self.0.get(cid)?.map_or(0, |block| block.len()))
    }

    fn delete(&mut self, cids: &[Cid]) -> anyhow::Result<()> {
        Ok(self.0.delete(cids)?)
    }

    fn give_back(&mut self) -> anyhow::Result<()> {
        let mut places = Vec::new();
        for cid in self.0.iterate(None, usize::MAX)? {
            places.extend(self.0.place_of(&cid)?);
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        for step in places.chunks(16) {
            let cids: Vec<Cid> = step.iter().map(|place| place.cid).collect();
            if self.0.relocate(&cids)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

const TABLE: TableDefinition<'_, &[u8; CID_BYTES], &[u8]> = TableDefinition::new("blocks");

/// Every block a value of one table.
pub struct RedbAlone(Database);

impl RedbAlone {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let database =
            Database::builder().set_cache_size(8 << 20).create(folder.join("all.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self(database))
    }

    fn change(
        &self,
        act: impl Fn(
            &mut redb::Table<'_, &'static [u8; CID_BYTES], &'static [u8]>,
        ) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        act(&mut transaction.open_table(TABLE)?)?;
        Ok(transaction.commit()?)
    }
}

impl Blocks for RedbAlone {
    fn commit(&mut self, blocks: &[Block]) -> anyhow::Result<()> {
        self.change(|table| {
            for block in blocks {
                table.insert(&block.cid().to_bytes(), &block.bytes()[..])?;
            }
            Ok(())
        })
    }

    fn read(&self, cid: &Cid) -> anyhow::Result<usize> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let value = table.get(&cid.to_bytes())?;
        let bytes = value.map(|value| value.value().to_vec()).unwrap_or_default();
        Ok(Block::verified(*cid, bytes)?.len())
    }

    fn delete(&mut self, cids: &[Cid]) -> anyhow::Result<()> {
        self.change(|table| {
            for cid in cids {
                table.remove(&cid.to_bytes())?;
            }
            Ok(())
        })
    }

    fn give_back(&mut self) -> anyhow::Result<()> {
        self.0.compact()?;
        Ok(())
    }
}
