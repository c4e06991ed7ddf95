//! Files as SQLite uses them, without SQLite: locks, sizes, pragmas, and what is thrown away.

use craftec_core::database::PAGE_BYTES;
use craftec_platform::sim::SimDisk;
use futures::executor::block_on;

use super::{
    file::{Answer, OpenFile},
    *,
};
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
    assert!(OpenFile::main(&name).is_some());
    assert!(OpenFile::main("craft").is_none() && OpenFile::main("/etc/passwd").is_none());
    drop(mount);
    assert!(OpenFile::main(&name).is_none());
}

#[test]
fn what_is_not_committed_goes_with_the_lock() {
    let (mount, pages) = mount();
    let mut file = OpenFile::main(mount.name()).unwrap();
    file.lock(4).unwrap();
    file.write(&[7; PAGE_BYTES], PAGE_BYTES as u64).unwrap();
    assert_eq!(file.bytes(), Ok(2 * PAGE_BYTES as u64));
    file.unlock(1).unwrap();
    assert_eq!(file.bytes(), Ok(0));
    file.lock(4).unwrap();
    file.write(&[7; PAGE_BYTES], 0).unwrap();
    file.commit().unwrap();
    file.unlock(0).unwrap();
    assert_eq!(pages.borrow().log.pages(), 1);
    let mut some = [0; 100];
    assert_eq!(file.read(&mut some, PAGE_BYTES as u64 - 10), Ok(10));
    assert_eq!(some[..11], [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
    assert_eq!(file.read(&mut some, u64::MAX - 4), Ok(0));
}

#[test]
fn two_connections_keep_out_of_each_others_way() {
    let (mount, _pages) = mount();
    let mut one = OpenFile::main(mount.name()).unwrap();
    let mut two = OpenFile::main(mount.name()).unwrap();
    one.lock(1).unwrap();
    two.lock(1).unwrap();
    one.lock(2).unwrap();
    assert_eq!(two.lock(2), Err(Fault::Busy));
    assert_eq!(one.lock(4), Err(Fault::Busy));
    assert!(mount.is_locked());
    drop(two);
    one.lock(4).unwrap();
    one.unlock(0).unwrap();
    assert!(!mount.is_locked());
}

#[test]
fn only_whole_pages_are_written() {
    let (mount, _pages) = mount();
    let mut file = OpenFile::main(mount.name()).unwrap();
    assert_eq!(file.write(&[0; 512], 0), Err(Fault::ReadOnly));
    assert_eq!(file.write(&[0; PAGE_BYTES], 1), Err(Fault::ReadOnly));
    let end = u64::from(u32::MAX) * PAGE_BYTES as u64;
    assert_eq!(file.write(&[0; PAGE_BYTES], end), Err(Fault::Full));
}

#[test]
fn what_is_pinned_answers_with_what_stays() {
    let (mount, _pages) = mount();
    let file = OpenFile::main(mount.name()).unwrap();
    assert_eq!(file.pragma("journal_mode", Some("WAL")), Answer::Said("memory"));
    assert_eq!(file.pragma("Journal_Mode", Some("memory")), Answer::Pass);
    assert_eq!(file.pragma("journal_mode", None), Answer::Pass);
    assert_eq!(file.pragma("page_size", Some("8192")), Answer::Said(""));
    assert_eq!(file.pragma("synchronous", Some("off")), Answer::Said(""));
    assert_eq!(file.pragma("user_version", Some("3")), Answer::Pass);
}

#[test]
fn temporary_files_are_memory() {
    let mut file = OpenFile::Flat(Vec::new());
    file.write(b"abc", 5).unwrap();
    let mut some = [9; 8];
    assert_eq!(file.read(&mut some, 0), Ok(8));
    assert_eq!(&some, b"\0\0\0\0\0abc");
    file.truncate(6).unwrap();
    assert_eq!(file.bytes(), Ok(6));
    assert_eq!(file.write(b"x", 1 << 40), Err(Fault::Full));
}
