use std::os::unix::fs::PermissionsExt;

use super::*;

fn archive() -> (tempfile::TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    (dir, archive)
}

fn name(text: &str) -> WalFileName {
    text.parse().unwrap()
}

fn owner(system_identifier: u64, node_id: &str) -> Owner {
    let label = format!("host of {node_id}");
    Owner { system_identifier, node_id: node_id.parse().unwrap(), label, machine: None }
}

#[test]
fn a_missing_directory_is_an_error_and_is_not_made() {
    let (dir, archive) = archive();
    let path = dir.path().to_owned();
    drop(dir);
    assert!(matches!(Archive::open(&path), Err(ArchiveError::Missing(_))));
    let one = name("00000001.history");
    assert!(matches!(archive.find(one), Err(ArchiveError::Missing(_))));
    assert!(matches!(archive.owner(), Err(ArchiveError::Missing(_))));
    assert!(matches!(archive.put(one, b"x"), Err(ArchiveError::Missing(_))));
    assert!(!path.exists());
}

#[test]
fn the_same_again_is_fine_and_another_is_refused() {
    let (_dir, archive) = archive();
    let one = name("00000002.history");
    assert!(archive.find(one).unwrap().is_none());
    assert_eq!(archive.put(one, b"one").unwrap(), Put::New);
    assert_eq!(archive.put(one, b"one").unwrap(), Put::AlreadyThere);
    for other in [b"two".as_slice(), b"on", b"ones", b""] {
        assert!(matches!(archive.put(one, other), Err(ArchiveError::Conflict(_))));
    }
    assert_eq!(archive.read(one).unwrap().unwrap(), b"one");
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 0);
    let mode = fs::metadata(archive.incoming_directory()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_a_killed_writer_left_goes_with_the_next_file() {
    let (_dir, archive) = archive();
    archive.put(name("00000002.history"), b"one").unwrap();
    fs::write(archive.incoming_directory().join("left.1-1.tmp"), b"half").unwrap();
    let going_on = archive.begin("going-on").unwrap();
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 1);
    drop(going_on);
    assert_eq!(fs::read_dir(archive.incoming_directory()).unwrap().count(), 0);
}

#[test]
fn only_wal_files_are_listed() {
    let (dir, archive) = archive();
    for file in ["000000010000000000000002", "00000002.history", ".owner", "README", "x.tmp"] {
        fs::write(dir.path().join(file), b"").unwrap();
    }
    archive.probe().unwrap();
    let listed: Vec<String> = archive.names().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["000000010000000000000002", "00000002.history"]);
    archive.remove(name("00000002.history")).unwrap();
    archive.remove(name("00000002.history")).unwrap();
    assert_eq!(archive.names().unwrap().len(), 1);
}

#[test]
fn an_archive_has_one_owner() {
    let (_dir, archive) = archive();
    let first = owner(7, "aaaa");
    archive.admit(&owner(8, "bbbb"), Machines::One).unwrap();
    archive.bind(&first, Machines::One).unwrap();
    archive.bind(&first, Machines::One).unwrap();
    assert_eq!(archive.owner().unwrap(), Some(first.clone()));
    let relabelled = Owner { label: "new name".into(), ..first };
    archive.admit(&relabelled, Machines::One).unwrap();
    let error = archive.bind(&owner(7, "bbbb"), Machines::One).unwrap_err().to_string();
    assert!(error.contains("host of aaaa") && error.contains("configStandby"), "{error}");
    assert!(matches!(
        archive.bind(&owner(8, "aaaa"), Machines::One),
        Err(ArchiveError::AnotherCluster { .. })
    ));
    archive.release().unwrap();
    archive.bind(&owner(8, "bbbb"), Machines::One).unwrap();
}

/// A primary that was copied to another machine, 2warm tree and all, had the same identity: its segment was
/// stored and replayed.
#[test]
fn an_archive_has_one_machine() {
    let (_dir, archive) = archive();
    let on = |machine: &str| Owner { machine: machine.parse().ok(), ..owner(7, "aaaa") };
    archive.bind(&on("one"), Machines::One).unwrap();
    archive.bind(&on("one"), Machines::One).unwrap();
    for refused in
        [archive.admit(&on("two"), Machines::One), archive.bind(&on("two"), Machines::One)]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, ArchiveError::AnotherMachine { .. }) && !error.is_retryable());
        for word in ["one", "two", "host of aaaa", "clone", "configStandby", "any_machine"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    archive.admit(&on("two"), Machines::Any).unwrap();
    archive.bind(&on("two"), Machines::Any).unwrap();
    // A sender that does not say, of an earlier version or without an id, is let in as before.
    archive.bind(&on(""), Machines::One).unwrap();
    assert_eq!(archive.owner().unwrap(), Some(on("one")));
}

#[test]
fn an_owner_of_an_earlier_version_gets_its_machine() {
    let (dir, archive) = archive();
    let on = |machine: &str| Owner { machine: machine.parse().ok(), ..owner(7, "aaaa") };
    let old = "version=1\nsystem_identifier=7\nnode_id=aaaa\nlabel=host of aaaa\n";
    fs::write(dir.path().join(".owner"), old).unwrap();
    archive.admit(&on("one"), Machines::One).unwrap();
    assert_eq!(archive.owner().unwrap(), Some(on("")));
    archive.bind(&on(""), Machines::One).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(".owner")).unwrap(), old);
    let bound: Vec<bool> = std::thread::scope(|scope| {
        let bind = |n| {
            let (archive, sender) = (&archive, on(&format!("machine-{n}")));
            scope.spawn(move || archive.bind(&sender, Machines::One).is_ok())
        };
        let threads: Vec<_> = (0..8).map(bind).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bound.iter().filter(|ok| **ok).count(), 1);
    // And an earlier version reads no further than its own lines.
    let text = fs::read_to_string(dir.path().join(".owner")).unwrap();
    assert!(text.starts_with(old) && text[old.len()..].starts_with("machine=machine-"), "{text}");
}

#[test]
fn of_many_at_once_one_becomes_the_owner() {
    let (_dir, archive) = archive();
    let bound: Vec<bool> = std::thread::scope(|scope| {
        let bind = |n| {
            let archive = &archive;
            scope
                .spawn(move || archive.bind(&owner(7, &format!("node-{n}")), Machines::One).is_ok())
        };
        let threads: Vec<_> = (0..8).map(bind).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bound.iter().filter(|ok| **ok).count(), 1);
}

/// Sweeping used to take a file for abandoned that its writer had created but not locked yet.
#[test]
fn writers_at_once_do_not_sweep_each_other_away() {
    let (_dir, archive) = archive();
    std::thread::scope(|scope| {
        for n in 0..8u32 {
            let archive = &archive;
            scope.spawn(move || {
                for turn in 1..50 {
                    let name = name(&format!("{:08X}.history", n * 100 + turn));
                    assert_eq!(archive.put(name, b"x").unwrap(), Put::New);
                }
            });
        }
    });
    assert_eq!(archive.names().unwrap().len(), 8 * 49);
}

#[test]
fn an_owner_file_is_read_strictly() {
    for bad in ["", "version=2\n", "version=1\nsystem_identifier=x\nnode_id=a\nlabel=b\n"] {
        assert!(bad.parse::<Owner>().is_err(), "{bad:?}");
    }
    for id in ["", " ", "a b", "\r\r\r\r\r\r\r\r", "a\r", &"a".repeat(65)] {
        for machine in ["", "machine=m\n"] {
            let text = format!("version=1\nsystem_identifier=1\nnode_id={id}\nlabel=b\n{machine}");
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
    }
    let bad = "version=1\nsystem_identifier=1\nnode_id=a\nlabel=b\nmachine=a b\n";
    assert!(bad.parse::<Owner>().is_err());
    let strange = Owner { label: "a\nb".into(), ..owner(1, "aaaa") };
    assert_eq!(strange.to_string().parse::<Owner>().unwrap().label, "a b");
}
