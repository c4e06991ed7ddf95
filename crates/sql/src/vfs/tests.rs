//! Mounted databases as SQLite uses them, without SQLite: names, locks, and what is thrown away.

use craftec_core::database::PAGE_BYTES;
use craftec_pager::{Level, Main};
use craftec_platform::sim::SimDisk;
use futures::executor::block_on;

use super::{file::MainFile, *};
use crate::log::{Log, LogOptions};

fn mount() -> (Mount, Rc<RefCell<LocalPages>>) {
    let log = block_on(Log::open(&SimDisk::new(), "db", LogOptions::default())).unwrap();
    let pages = Rc::new(RefCell::new(LocalPages::new(log)));
    (Mount::new(pages.clone()), pages)
}

#[test]
fn a_name_is_a_file_only_while_it_is_mounted() {
    let (mount, _pages) = mount();
    let name = mount.name().to_owned();
    assert!(MainFile::open(&name).is_some());
    assert!(MainFile::open("craft").is_none() && MainFile::open("/etc/passwd").is_none());
    drop(mount);
    assert!(MainFile::open(&name).is_none());
}

#[test]
fn what_is_not_committed_goes_with_the_lock() {
    let (mount, pages) = mount();
    let mut file = MainFile::open(mount.name()).unwrap();
    file.lock(Level::Exclusive).unwrap();
    file.write(PageNo::new(2).unwrap(), &[7; PAGE_BYTES]).unwrap();
    assert_eq!(file.pages(), Ok(2));
    file.unlock(Level::Shared).unwrap();
    assert_eq!(file.pages(), Ok(0));
    file.lock(Level::Exclusive).unwrap();
    file.write(PageNo::FIRST, &[7; PAGE_BYTES]).unwrap();
    file.commit().unwrap();
    file.unlock(Level::None).unwrap();
    assert_eq!(pages.borrow().log.pages(), 1);
    let mut page = [0; PAGE_BYTES];
    file.read(PageNo::FIRST, &mut page).unwrap();
    assert_eq!(page, [7; PAGE_BYTES]);
}

#[test]
fn two_connections_keep_out_of_each_others_way() {
    let (mount, _pages) = mount();
    let mut one = MainFile::open(mount.name()).unwrap();
    let mut two = MainFile::open(mount.name()).unwrap();
    one.lock(Level::Shared).unwrap();
    two.lock(Level::Shared).unwrap();
    one.lock(Level::Reserved).unwrap();
    assert_eq!(two.lock(Level::Reserved), Err(Fault::Busy));
    assert_eq!(one.lock(Level::Exclusive), Err(Fault::Busy));
    assert!(mount.is_locked());
    drop(two);
    one.lock(Level::Exclusive).unwrap();
    one.unlock(Level::None).unwrap();
    assert!(!mount.is_locked());
}
