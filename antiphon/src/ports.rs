//! What the control plane asks of the data plane.

use admin::ports::DataPlane;
use changes::Signal;

/// The data plane of this process, or of none.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Wakes whoever keeps the view of this process's gateway current.
    pub(crate) changed: Signal,
}

impl DataPlane for Ports {
    fn changed(&self) {
        self.changed.wake();
    }
}
