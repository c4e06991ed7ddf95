//! Writes the objects of `tests/vectors/unixfs.json` as CAR files into a folder, for a reader that
//! is not ours: `cargo run -p craftec-obj --example write_cars -- FOLDER`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::{error::Error, fs, io::Write, path::Path};

use common::{Blocks, FILES, file, folder, nested, pattern, sharded, source};
use craftec_core::Cid;
use craftec_obj::{car::car, read::WalkLimits};
use futures::{TryStreamExt, executor::block_on};

fn main() -> Result<(), Box<dyn Error>> {
    let folder_path = std::env::args_os().nth(1).ok_or("usage: write_cars FOLDER")?;
    let out = Path::new(&folder_path);
    fs::create_dir_all(out)?;
    for (_, seed, size) in FILES {
        let (built, blocks) = file(&pattern(seed, size), []);
        write(out, built.cid, &blocks)?;
    }
    for members in [vec![], nested(), sharded()] {
        let (built, blocks) = folder(&members);
        write(out, built.cid, &blocks)?;
    }
    Ok(())
}

fn write(out: &Path, root: Cid, blocks: &Blocks) -> Result<(), Box<dyn Error>> {
    let mut target = fs::File::create(out.join(format!("{root}.car")))?;
    let mut bytes = car(source(blocks), root, WalkLimits::default());
    block_on(async {
        while let Some(bytes) = bytes.try_next().await? {
            target.write_all(&bytes)?;
        }
        Ok(())
    })
}
