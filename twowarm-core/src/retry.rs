/// An error that says whether trying the same operation again can help.
///
/// ```
/// use twowarm_core::Retryable;
/// use twowarm_core::archive::Archive;
///
/// let error = Archive::open("/no/such/archive".as_ref()).unwrap_err();
/// assert!(error.is_retryable(), "its disk may be mounted later");
/// ```
pub trait Retryable {
    /// Whether the same operation may succeed later without a change of configuration, as after a failure
    /// of the network, a restart of the other side, or when a disk is mounted or has space again.
    fn is_retryable(&self) -> bool;
}
