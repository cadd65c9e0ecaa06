//! What the control plane asks of the data plane: only what its code alone can do. The program that
//! wires both planes implements it.

/// The data plane as the control plane sees it.
pub trait DataPlane: Send + Sync {
    /// Something that gateways must notice has been committed. Gateways of other processes learn it from
    /// the database; one of this process shall look at once.
    fn changed(&self);
}
