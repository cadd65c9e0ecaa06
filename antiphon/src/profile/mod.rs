//! Where the process spends its processor time: stacks are looked at many times a second, on Linux.

#[cfg(target_os = "linux")]
mod flame;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::Profiler;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Profiler;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use admin::ports::{PortError, Sampling};

    /// Looks at nothing.
    #[derive(Debug, Default)]
    pub(crate) struct Profiler;

    impl Profiler {
        pub(crate) fn start(&self, _: u16) -> Result<Box<dyn Sampling>, PortError> {
            Err(PortError::Unsupported)
        }
    }
}
