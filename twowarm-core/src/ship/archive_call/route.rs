use std::fmt;

use crate::ship::{LookAhead, ShipError, ShipProgress, Shipper, Transport, WalFile};

/// A way for a WAL file to get into the archive of one node.
pub trait Route: fmt::Debug {
    /// The node's name, for messages.
    fn node(&self) -> &str;

    /// Ships a file; when it succeeds, the file is durable on that node. A `brief` attempt should take a few seconds at
    /// most: the node was down at the last one, and the other node waits for the file.
    ///
    /// # Errors
    /// Those of [`Shipper::ship`].
    fn ship(
        &self,
        file: &WalFile,
        brief: bool,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError>;
}

/// A route by a [`Shipper`].
#[derive(Debug)]
pub struct ShipperRoute<T> {
    /// The usual shipper.
    pub usual: Shipper<T>,
    /// Ships the files of a backlog ahead over the usual shipper's connection.
    pub look_ahead: LookAhead,
    /// The shipper for a brief attempt, with a shorter time limit.
    pub brief: Shipper<T>,
}

impl<T: Transport + Clone + Send + 'static> Route for ShipperRoute<T> {
    fn node(&self) -> &str {
        self.usual.transport.node()
    }

    fn ship(
        &self,
        file: &WalFile,
        brief: bool,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let shipper = if brief { &self.brief } else { &self.usual };
        let mut files = file.histories_to_ship_first();
        if !files.is_empty() {
            files.push(file.clone());
            return shipper.ship(&files, &mut |step| of_file(file, step, progress));
        }
        let shipped = match brief {
            true => shipper.ship(std::slice::from_ref(file), progress),
            false => self.look_ahead.ship(shipper, file, progress),
        };
        match (shipped, file.own_history()) {
            // It may not know yet that this node was promoted.
            (Err(error), Some(history)) if error.is_another_sender() => {
                let files = [history, file.clone()];
                shipper.ship(&files, &mut |step| of_file(file, step, progress))
            }
            (shipped, _) => shipped,
        }
    }
}

/// Reports nothing about the files that are shipped before the one of the call.
fn of_file(file: &WalFile, step: ShipProgress, progress: &mut dyn FnMut(ShipProgress)) {
    match &step {
        ShipProgress::Shipped { file: shipped, .. } if shipped != file => {}
        _ => progress(step),
    }
}
