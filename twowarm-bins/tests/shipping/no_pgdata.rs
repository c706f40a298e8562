use std::fs;

use crate::pair::{ONE, Pair};

/// The original scripts sent the path with the file, so the receiving node needed no environment.sh. Ours does not
/// send paths.
#[test]
fn a_receiver_whose_environment_sh_does_not_name_the_data_directory() {
    let pair = Pair::new();
    let (usual, other) = (pair.db2.pgdata(), pair.db2.home().join("other"));
    fs::remove_file(pair.db2.local().join("environment.sh")).unwrap();
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();

    // The path noted by configStandby and restoreWALFile takes precedence over $PGROOT/data.
    let note = |text: &str| pair.db2.write_local("replication/data_directory", text).unwrap();
    note(&format!("{}\n", other.display()));
    let gone = other.display().to_string();
    pair.fails(&pair.send(), 1, &["db2 refused", &gone, "replication/data_directory"]);
    pair.db2.run_as().make_dir(&other, 0o700).unwrap();
    pair.db2.run_as().make_dir(&other.join("archive"), 0o700).unwrap();
    assert!(pair.send().status.success());
    assert!(other.join("archive").join(ONE).exists() && !pair.archived(ONE).exists());
    note(&format!("{}\n", usual.display()));
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();

    // environment.sh takes precedence over both. With a shell command in it, $PGROOT/data is not assumed.
    pair.db2.write_local("environment.sh", format!("umask 077\nPGDATA={gone}\n")).unwrap();
    assert!(pair.send().status.success() && !pair.archived(ONE).exists());
    pair.db2.write_local("environment.sh", ". ~/.bash_profile\n").unwrap();
    fs::remove_file(pair.db2.local().join("replication/data_directory")).unwrap();
    let words = ["db2 refused", "PGDATA is not known", "line 1 (. ~/.bash_profile)"];
    pair.fails(&pair.send(), 1, &words);
}
