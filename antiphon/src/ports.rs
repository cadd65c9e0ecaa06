//! What the control plane asks of the data plane.

use std::sync::Arc;

use admin::ports::DataPlane;
use tokio::sync::Notify;

/// The data plane of this process, or of none.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Wakes whoever keeps the view of this process's gateway current.
    pub(crate) changed: Arc<Notify>,
}

impl DataPlane for Ports {
    fn changed(&self) {
        self.changed.notify_one();
    }
}
