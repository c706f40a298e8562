//! Ships the WAL files of a directory to another node's archive, over one ssh connection.
//!
//! `ship_directory DIRECTORY PGDATA NODE PGROOT` reads the files in DIRECTORY, presents itself as the sender
//! of the cluster in PGDATA, and starts `PGROOT/2warm/global/replication/receiveWALFile` on NODE, which is a
//! host name of the user's ssh configuration. It exits with 75 if trying again can help.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use twowarm_core::Retryable;
use twowarm_core::reach::Reach;
use twowarm_core::ship::ssh::SshTransport;
use twowarm_core::ship::{FarCommand, LocalNode, ShipProgress, Shipper, WalFile};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, data_directory, node, pgroot] = arguments.as_slice() else {
        eprintln!("usage: ship_directory DIRECTORY PGDATA NODE PGROOT");
        return Ok(ExitCode::from(2));
    };
    // An archive is bound to one sender: the id must be the same in every call, and no other node's.
    let sender = LocalNode {
        data_directory: data_directory.into(),
        node_id: "ship-directory".parse()?,
        label: "ship_directory".into(),
    };
    let reach = Reach::new(node.parse()?, PathBuf::from(pgroot));
    let transport = SshTransport::new(&reach, FarCommand::ReceiveWalFile)?;
    let files = WalFile::list(directory.as_ref())?;

    let (mut done, all) = (0, files.len());
    let shipped = Shipper::new(sender, transport).ship(&files, &mut |progress| match progress {
        ShipProgress::Connected(far) => println!("connected to {}:{}", far.label, far.archive),
        ShipProgress::Shipped { file, stored, defect } => {
            done += 1;
            println!("{done}/{all} {} {stored:?}", file.name);
            if let Some(defect) = defect {
                eprintln!("{} was shipped, but {defect}", file.name);
            }
        }
        _ => {}
    });
    match shipped {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::from(if error.is_retryable() { 75 } else { 1 }))
        }
    }
}
