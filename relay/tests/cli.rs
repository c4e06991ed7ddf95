//! The command line as a person and a script use it, without a running node: each command runs one
//! itself on its data folder.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    process::Stdio,
};

use craftec_core::{Cid, Codec};
use craftec_obj::{Block, Store};
use craftec_platform::native::{NativeClock, NativeFolder};
use support::{Home, files, noise};

#[test]
fn put_get_stat_and_ls_agree() {
    let home = Home::new();
    let bytes = noise(1, 3 << 20);
    let file = home.write("big.bin", &bytes);
    let put = home.run(["put".as_ref(), file.as_os_str()]).ok();
    let cid = put["cid"].as_str().unwrap();
    assert_eq!(put, serde_json::json!({ "cid": cid, "size": bytes.len() }));
    assert_eq!(home.run(["put", "big.bin"]).ok()["cid"], cid, "equal bytes, equal CID");

    let got = home.run(["get", cid, "-o", "copy.bin"]).ok();
    assert_eq!(got["bytes"], bytes.len());
    assert_eq!(fs::read(home.path("copy.bin")).unwrap(), bytes);
    let part = home.plain(["get", cid, "--range", "1000000-1000009", "-o", "part"]);
    assert_eq!(part.code, 0, "{part:?}");
    assert_eq!(fs::read(home.path("part")).unwrap(), &bytes[1_000_000..1_000_010]);
    let whole = home.command().args(["get", cid, "-o", "-"]).output().unwrap();
    assert!(whole.stdout == bytes && whole.status.success());

    let stat = home.run(["stat", cid]).ok();
    assert_eq!(stat["size"], bytes.len());
    assert_eq!((&stat["kind"], &stat["files"]), (&"file".into(), &1.into()));
    assert_eq!(stat["blocks"], stat["local_blocks"]);
    let left: Vec<_> = fs::read_dir(home.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".craftec"))
        .collect();
    assert!(left.is_empty(), "no temporary file stays: {left:?}");
}

#[test]
fn put_takes_many_files_folders_and_standard_input() {
    let home = Home::new();
    home.write("a.txt", "a");
    home.write("d/b.txt", "b");
    home.write("d/c/d.txt", "d");
    let many = home.run(["put", "a.txt", "d"]).ok();
    let rows = many["objects"].as_array().unwrap();
    assert_eq!((&rows[0]["file"], &rows[0]["size"]), (&"a.txt".into(), &1.into()));
    assert_eq!((&rows[1]["files"], &rows[1]["size"]), (&2.into(), &2.into()));

    let mut child = home
        .command()
        .args(["--json", "put", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a").unwrap();
    let output = child.wait_with_output().unwrap();
    let piped: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(piped["cid"], rows[0]["cid"], "the way in does not change the CID");

    let folder = rows[1]["cid"].as_str().unwrap();
    let listing = home.run(["ls", folder]).ok();
    let names: Vec<_> =
        listing["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["b.txt", "c"]);
    let below = home.run(["ls", &format!("{folder}/c")]).ok();
    assert_eq!(below["entries"][0]["name"], "d.txt");
    let one = home.plain(["get", &format!("{folder}/c/d.txt")]);
    assert_eq!(one.code, 0, "{one:?}");
    assert_eq!(fs::read(home.path("d.txt")).unwrap(), b"d");
}

#[test]
fn failures_have_a_sentence_and_a_code() {
    let home = Home::new();
    let missing = Cid::of(Codec::Raw, b"nobody has this").to_string();
    let bad = |args: &[&str], code: i32, word: &str| {
        let ran = home.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("RUST_BACKTRACE"));
        assert!(ran.json()["error"]["message"].is_string());
    };
    bad(&["get", "hello"], 2, "not a CID");
    bad(&["get", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"], 2, "version 0");
    bad(&["get", &missing.to_uppercase()], 2, &missing);
    bad(&["get", &format!("{missing}/../x")], 2, "`..`");
    bad(&["get", &missing, "--range", "9-3"], 2, "not a range");
    bad(&["get", &missing], 4, "");
    bad(&["put", "no-such-file"], 3, "no-such-file");
    bad(&["site", "publish", "no-such-folder"], 3, "no-such-folder");
    bad(&["connect", "/ip4/127.0.0.1/tcp/1"], 4, "craftec up");
    bad(&["--relay", "localhost:4001", "status"], 2, "not a multiaddr");
    assert_eq!(home.plain(["fly"]).code, 2);
    assert_eq!(home.plain(["put"]).code, 2);

    let folder = home.write("d/a.txt", "a").parent().unwrap().to_owned();
    let cid = home.run(["put".as_ref(), folder.as_os_str()]).ok()["cid"].clone();
    let cid = cid.as_str().unwrap();
    bad(&["get", &format!("{cid}/nothing")], 3, "");
    bad(&["get", cid, "--range", "0-1"], 2, "folder");
    bad(&["get", cid, "-o", "d"], 2, "exists already");
    bad(&["get", &format!("{cid}/a.txt"), "--range", "5-"], 2, "");
    bad(&["ls", &format!("{cid}/a.txt")], 2, "");
}

#[test]
fn settings_are_checked_before_anything_runs() {
    let home = Home::new();
    let check = |args: &[&str]| home.run([&["--check-config"], args].concat());
    assert_eq!(check(&[]).ok()["http"], "127.0.0.1:4080");
    let toml =
        home.write("c.toml", "http = '127.0.0.1:9'\ndomain = 'example.org'\nlend = '1GiB'\n");
    let toml = toml.to_str().unwrap();
    let file = check(&["--config", toml, "up", "--http", "127.0.0.1:8"]).ok();
    assert_eq!(file["http"], "127.0.0.1:8", "a flag comes before the file");
    assert_eq!((&file["domain"], &file["lend"]), (&"example.org".into(), &(1 << 30).into()));
    home.write("data/craftec.toml", "lends = 1\n");
    let unknown = check(&[]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("line 1: unknown field `lends`"), "{unknown:?}");
    let absent = check(&["--config", "none.toml"]);
    assert_eq!(absent.code, 3, "{absent:?}");
    assert!(!home.data().join("store").exists(), "nothing was started");
}

#[test]
fn a_site_of_many_files_comes_back_as_it_was() {
    let home = Home::new();
    for number in 0..2000 {
        let name = format!("site/{}/{number}.html", number % 17);
        home.write(&name, format!("page {number}"));
    }
    let names = ["日本語.txt", "עברית.txt", "Ελληνικά é.txt", "emoji 🦀.txt", "a b&c=d?#%.txt"];
    for name in names {
        home.write(&format!("site/names/{name}"), name);
    }
    home.write("site/large.bin", noise(2, 2_500_000));
    home.write("site/index.html", "<h1>hello</h1>");
    home.write("site/.git/config", "secret");
    symlink("nowhere", home.path("site/dangling")).unwrap();
    symlink("/etc/hostname", home.path("site/leak")).unwrap();
    let published = home.run(["site", "publish", "site"]);
    assert!(published.stderr.contains("dangling: a symbolic link that leads nowhere"));
    let published = published.ok();
    let cid = published["cid"].as_str().unwrap();
    assert_eq!(published["files"], 2000 + names.len() + 2);
    assert_eq!(published["url"], format!("http://{cid}.craftec.localhost:4080/"));
    let left: Vec<_> =
        published["left_out"].as_array().unwrap().iter().map(|l| &l["path"]).collect();
    assert_eq!(left, [".git", "dangling", "leak"]);

    let got = home.run(["get", cid, "-o", "back"]).ok();
    assert_eq!(got["files"], published["files"]);
    let mut original = files(&home.path("site"));
    original.retain(|name, _| !name.starts_with(".git") && name != "leak");
    assert!(files(&home.path("back")) == original, "every file is as it was");
    let sites = home.run(["site", "list"]).ok();
    assert_eq!(sites["sites"][0]["cid"], cid);

    let again = home.run(["site", "publish", "site"]).ok();
    assert_eq!(again["cid"], cid, "equal folders, equal CID");
}

#[test]
fn a_named_site_has_a_label() {
    let home = Home::new();
    home.write("site/index.html", "1");
    let first = home.run(["site", "publish", "site", "--name", "blog"]).ok();
    home.write("site/index.html", "2");
    let second = home.run(["site", "publish", "site", "--name", "blog"]).ok();
    assert_ne!(first["cid"], second["cid"]);
    assert_eq!(first["url"], second["url"], "the name stays");
    let label = second["label"].as_str().unwrap();
    assert!(label.starts_with('n') && label.len() == 53, "{label}");
    assert_eq!(second["url"], format!("http://{label}.craftec.localhost:4080/"));
}

#[test]
fn an_empty_folder_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path("empty")).unwrap();
    let ran = home.run(["site", "publish", "empty"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("Nothing was published"), "{ran:?}");
}

/// Root reads everything, so under root the binary runs as nobody.
#[test]
fn an_unreadable_file_is_left_out_and_named() {
    use std::os::unix::{fs::chown, process::CommandExt};
    let home = Home::new();
    home.write("site/index.html", "hello");
    let secret = home.write("site/secret.txt", "secret");
    let shut = home.write("site/shut/x.txt", "x").parent().unwrap().to_owned();
    let mut command = home.command();
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == 0
    });
    if is_root {
        let copy = home.path("craftec");
        fs::copy(env!("CARGO_BIN_EXE_craftec"), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(home.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(home.data()).unwrap();
        chown(home.data(), Some(65534), Some(65534)).unwrap();
        command = std::process::Command::new(copy);
        command.arg("--data").arg(home.data()).uid(65534).gid(65534);
        command.current_dir(home.folder.path()).env("HOME", home.data());
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    let output = command.args(["--json", "site", "publish", "site"]).output().unwrap();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let published: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(published["files"], 1);
    let left = published["left_out"].as_array().unwrap();
    assert_eq!((&left[0]["path"], &left[1]["path"]), (&"secret.txt".into(), &"shut".into()));
    assert!(left.iter().all(|left| left["reason"].as_str().unwrap().contains("cannot be read")));
    assert!(text.contains("secret.txt: cannot be read"), "{text}");
}

#[test]
fn the_identity_stays_and_its_words_are_shown_on_request() {
    let home = Home::new();
    let id = home.run(["id"]).ok();
    assert!(id["did"].as_str().unwrap().starts_with("did:craftec:"));
    assert!(id["peer_id"].as_str().unwrap().starts_with("12D3KooW"));
    assert!(id.get("words").is_none());
    let words = home.run(["id", "--words"]);
    assert_eq!(words.ok()["words"].as_array().unwrap().len(), 24);
    assert_eq!(words.ok()["did"], id["did"]);
    let status = home.run(["status"]).ok();
    assert_eq!(status["did"], id["did"]);
    let mode = fs::metadata(home.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "others can't read keys");
}

#[test]
fn pins_are_kept_and_let_go() {
    let home = Home::new();
    home.write("a.txt", "a");
    let cid = home.run(["put", "a.txt"]).ok()["cid"].clone();
    let cid = cid.as_str().unwrap();
    assert_eq!(home.run(["pin", cid]).ok()["pinned"], true);
    assert_eq!(home.run(["stat", cid]).ok()["pinned"], true);
    assert_eq!(home.run(["unpin", cid]).ok()["pinned"], false);
}

#[test]
fn commands_at_one_time_take_turns() {
    let home = Home::new();
    let spawn = |number: usize| {
        let file = home.write(&format!("{number}.txt"), format!("{number}"));
        let mut command = home.command();
        command.args(["--json", "put"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..3).map(spawn).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(home.run(["status"]).ok()["objects"], 3);
}

/// A folder with one entry, as protocol buffers: links before data, as dag-pb wants it.
fn hostile_folder(name: &str, target: &Cid) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
    let link = [field(0x0a, &target.to_bytes()), field(0x12, name.as_bytes()), vec![0x18, 4]];
    [field(0x12, &link.concat()), field(0x0a, &[0x08, 0x01])].concat()
}

/// Blocks that no honest node writes, put into the store behind the node's back.
#[test]
fn a_hostile_folder_never_leaves_its_target() {
    let home = Home::new();
    home.run(["id"]).ok();
    let names = ["..", ".", "../escaped", "/tmp/escaped", "a\0b", "", "a/../../escaped"];
    let mut roots = Vec::new();
    let store = home.data().join("store");
    let put = async {
        let folder = NativeFolder::open(store).unwrap();
        let store = Store::open(&folder).await.unwrap();
        let evil = Block::of(Codec::Raw, b"evil".to_vec()).unwrap();
        let mut blocks = vec![evil.clone()];
        for name in names {
            let folder = Block::of(Codec::DagPb, hostile_folder(name, evil.cid())).unwrap();
            let above = Block::of(Codec::DagPb, hostile_folder("fine", folder.cid())).unwrap();
            roots.push((name, above.cid().to_string()));
            blocks.extend([folder, above]);
        }
        let fine = Block::of(Codec::DagPb, hostile_folder("fine", evil.cid())).unwrap();
        roots.push(("fine", fine.cid().to_string()));
        blocks.push(fine);
        store.put(&blocks).unwrap();
    };
    NativeClock::run(put).unwrap();
    for (name, root) in &roots {
        let out = home.path("out");
        let ran = home.run(["get".as_ref(), root.as_ref(), "-o".as_ref(), out.as_os_str()]);
        if *name == "fine" {
            assert_eq!(ran.code, 0, "the same bytes with an honest name: {ran:?}");
            assert_eq!(files(&out).into_keys().collect::<Vec<_>>(), ["fine"]);
            continue;
        }
        assert_ne!(ran.code, 0, "{name:?}");
        assert!(
            ran.json()["error"]["message"].is_string() && !ran.stderr.contains("internal error")
        );
        assert!(!out.exists(), "{name:?}: nothing is written");
    }
    assert!(!home.path("escaped").exists() && !std::path::Path::new("/tmp/escaped").exists());
}

#[test]
fn ctrl_c_ends_a_command_and_leaves_nothing_half_done() {
    let home = Home::new();
    let mut child = home
        .command()
        .args(["--json", "put", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&noise(3, 2 << 20)).unwrap();
    // It is past its start once it took more than a pipe holds.
    let killed = std::process::Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("stopped before it was done"), "{text}");
    drop(stdin);
    assert_eq!(home.run(["status"]).ok()["objects"], 0, "and the folder is free again");
}
