use std::fmt;

use crate::ship::{ShipError, ShipProgress, Shipper, Transport, WalFile};

/// A way for a WAL file to get into the archive of one node.
pub trait Route: fmt::Debug {
    /// The node's name, for messages.
    fn node(&self) -> &str;

    /// Ships a file; when it succeeds, the file is durable on that node. A node that was `down` at the last attempt
    /// should get less time to answer than others, since nothing is archived meanwhile.
    ///
    /// # Errors
    /// Those of [`Shipper::ship`].
    fn ship(
        &self,
        file: &WalFile,
        down: bool,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError>;
}

/// A route on which each file is shipped over a connection of its own.
#[derive(Debug)]
pub struct ShipperRoute<T> {
    /// The usual shipper.
    pub usual: Shipper<T>,
    /// The shipper for a node that was down, with a shorter time limit.
    pub while_down: Shipper<T>,
}

impl<T: Transport + Clone + Send + 'static> Route for ShipperRoute<T> {
    fn node(&self) -> &str {
        self.usual.transport.node()
    }

    fn ship(
        &self,
        file: &WalFile,
        down: bool,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let shipper = if down { &self.while_down } else { &self.usual };
        shipper.ship(std::slice::from_ref(file), progress)
    }
}
