use std::collections::BTreeMap;

use super::*;
use crate::retry::Retryable;

/// A node with an environment.sh, and directories for clusters.
struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn new(environment: &str) -> Node {
        let node = Node { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(node.path("2warm/local/replication")).unwrap();
        fs::write(node.path("2warm/local/environment.sh"), environment).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    fn cluster(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.join("global")).unwrap();
        fs::write(path.join("PG_VERSION"), "15\n").unwrap();
        path
    }

    fn call(&self, caller: Caller, here: &Path, pgdata: &str) -> Result<Install, InstallError> {
        let pgdata = Some(("PGDATA".into(), pgdata.into())).filter(|_| !pgdata.is_empty());
        let invocation = Invocation {
            command: self.path("2warm/global/replication/x").into(),
            environment: pgdata.into_iter().collect::<BTreeMap<_, _>>(),
            working_directory: here.to_owned(),
        };
        Install::find(&invocation, caller)
    }

    /// As called by a user or sshd in PGROOT.
    fn found(&self, pgdata: &str) -> Option<PathBuf> {
        let [a, b] = [Caller::Person, Caller::FarNode]
            .map(|caller| self.call(caller, &self.path(""), pgdata).unwrap().pgdata);
        assert_eq!(a, b);
        a
    }
}

#[test]
fn variables_that_the_scripts_set_before_can_be_used() {
    let node = Node::new(
        "PGDATA=$PGROOT/data\nARCHIVE=${GLOBAL}a\nX=${LOCAL}b\nY=$OTHERNODE-$DRNODE-\nexport PGDATA\n",
    );
    fs::write(node.path("2warm/local/replication/othernode"), "db2\n").unwrap();
    let install = node.call(Caller::Person, Path::new("/"), "").unwrap();
    assert_eq!(install.pgdata, Some(node.path("data")));
    assert_eq!(install.archive, Some(node.path("2warm/global/a")));
    let local = node.path("2warm/local/b");
    assert_eq!(install.environment.get("X"), local.to_str());
    assert_eq!(install.environment.get("Y"), Some("db2--"));
    let error =
        Node::new("PGDATA=$PGHOME/data\n").call(Caller::Person, Path::new("/"), "").unwrap_err();
    assert!(error.to_string().contains("line 1: PGHOME is not set"), "{error}");
}

/// `pg_ctl -D data` sets PGDATA=data, and the working directory of archive_command is data.
#[test]
fn a_relative_pgdata_of_a_server_is_its_working_directory() {
    let node = Node::new("");
    let data = node.cluster("data");
    for pgdata in ["data", "./data", "../data", "elsewhere"] {
        assert_eq!(node.call(Caller::Server, &data, pgdata).unwrap().pgdata, Some(data.clone()));
    }
    let error = node.call(Caller::Server, &data, "/elsewhere").unwrap_err();
    assert!(matches!(error, InstallError::AnotherCluster { .. }), "{error}");
    // A user calls in the directory where the server was started, or in the data directory.
    assert_eq!(node.found("data"), Some(data.clone()));
    assert_eq!(node.call(Caller::Person, &data, "data").unwrap().pgdata, Some(data));
}

#[test]
fn a_relative_pgdata_in_environment_sh_is_found_in_pgroot() {
    let node = Node::new("PGDATA=data\n");
    let data = node.cluster("data");
    assert_eq!(node.found(""), Some(data.clone()));
    assert_eq!(node.call(Caller::Person, Path::new("/"), "").unwrap().pgdata, Some(data.clone()));
    for caller in [Caller::Server, Caller::Person] {
        assert_eq!(node.call(caller, &data, "").unwrap().pgdata, Some(data.clone()));
    }
    let other = node.cluster("other");
    let error = node.call(Caller::Server, &other, "").unwrap_err();
    assert!(error.to_string().contains("environment.sh sets PGDATA to"), "{error}");
    node.cluster("other/data");
    let error = node.call(Caller::Person, &other, "").unwrap_err().to_string();
    assert!(error.contains("other/data") && error.contains("absolute path"), "{error}");
}

/// With 2warm's scripts a receiving node did not need an environment.sh.
#[test]
fn the_last_data_directory_is_used_if_nothing_sets_pgdata() {
    let node = Node::new("");
    assert_eq!(node.found(""), None);
    fs::create_dir(node.path("data")).unwrap();
    assert_eq!(node.found(""), None, "it contains neither a cluster nor an archive");
    fs::create_dir(node.path("data/archive")).unwrap();
    assert_eq!(node.found(""), Some(node.path("data")));

    let main = node.cluster("main");
    let install = node.call(Caller::Server, &main, "").unwrap();
    install.remember_data_directory().unwrap();
    assert_eq!(node.found(""), Some(main.clone()));
    let file = node.path("2warm/local/replication/data_directory");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", main.display()));
    // PGDATA and the working directory take precedence.
    assert_eq!(node.found("/set"), Some("/set".into()));
    let other = node.cluster("other");
    assert_eq!(node.call(Caller::Person, &other, "").unwrap().pgdata, Some(other));
    assert_eq!(node.call(Caller::Server, &node.path(""), "").unwrap().pgdata, None);

    // If it does not exist any more, the default is not used instead.
    fs::rename(&main, node.path("moved")).unwrap();
    let install = node.call(Caller::FarNode, &node.path(""), "").unwrap();
    let error = install.require_pgdata().unwrap_err().to_string();
    assert!(error.contains("local/replication/data_directory"), "{error}");
    assert!(error.contains(main.to_str().unwrap()), "{error}");
}

#[test]
fn the_data_directory_is_saved_only_when_it_changes() {
    let node = Node::new("");
    let [main, other] = ["main", "other"].map(|name| node.cluster(name));
    let remember = |path: &Path| {
        node.call(Caller::Server, path, "").unwrap().remember_data_directory().unwrap();
        let file = node.path("2warm/local/replication/data_directory");
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap())
    };
    let first = remember(&main);
    assert_eq!(remember(&main), first);
    assert_ne!(remember(&other), first);
    assert_eq!(node.found(""), Some(other));
}

#[test]
fn the_default_is_not_used_if_lines_are_ignored() {
    let node = Node::new(". ~/.bash_profile\n");
    let data = node.cluster("data");
    let install = node.call(Caller::Person, &node.path(""), "").unwrap();
    let error = install.require_pgdata().unwrap_err().to_string();
    assert!(error.contains("line 1 (. ~/.bash_profile)"), "{error}");
    assert_eq!(node.found("/set"), Some("/set".into()));
    let server = node.call(Caller::Server, &data, "").unwrap();
    assert_eq!(server.pgdata, Some(data.clone()));
    server.remember_data_directory().unwrap();
    assert_eq!(node.found(""), Some(data.clone()));
    // An unknown PGDATA in environment.sh is an error even if another one is set.
    fs::write(node.path("2warm/local/environment.sh"), "PGDATA=$(cat x)\n").unwrap();
    for caller in [Caller::Person, Caller::Server] {
        let error = node.call(caller, &data, "/set").unwrap_err();
        assert!(matches!(error, InstallError::Environment { .. }) && !error.is_retryable());
    }
}

/// `PGDATA=$PGROOT/data/15` with `$PGROOT/data/2warm` a link to `$PGROOT/2warm`: the server that called through the link
/// was told that its data directory is `data/data/15`.
#[test]
fn pgroot_in_environment_sh_may_be_the_target_of_the_link() {
    let node = Node::new("PGDATA=$PGROOT/data/15\n");
    let data = node.cluster("data/15");
    std::os::unix::fs::symlink("../2warm", node.path("data/2warm")).unwrap();
    let call = |caller, here: &Path, command: &str| {
        let invocation = Invocation {
            command: command.into(),
            environment: BTreeMap::new(),
            working_directory: here.to_owned(),
        };
        Install::find(&invocation, caller)
    };
    let by_link = "../2warm/global/replication/x";
    let far = node.path("data/2warm/global/replication/x");
    for install in [
        call(Caller::Server, &data, by_link).unwrap(),
        call(Caller::Person, &data, by_link).unwrap(),
        call(Caller::FarNode, &node.path(""), far.to_str().unwrap()).unwrap(),
    ] {
        assert_eq!((install.pgroot, install.pgdata), (node.path(""), Some(data.clone())));
    }
    // An environment.sh that is right for the directory of the link takes precedence.
    fs::write(node.path("2warm/local/environment.sh"), "PGDATA=$PGROOT/15\n").unwrap();
    let install = call(Caller::Server, &data, by_link).unwrap();
    assert_eq!((install.pgroot, install.pgdata), (node.path("data"), Some(data.clone())));
    // One that is right for neither is refused.
    fs::write(node.path("2warm/local/environment.sh"), "PGDATA=$PGROOT/16\n").unwrap();
    let error = call(Caller::Server, &data, by_link).unwrap_err();
    assert!(matches!(error, InstallError::AnotherCluster { .. }), "{error}");
}
