//! What a service manager says to a process and hears from it, by systemd's two small protocols: sd_notify(3) and
//! sd_listen_fds(3). Without a manager that speaks them, nothing is said and nothing is passed.

mod notifier;
mod sockets;

pub use notifier::Notifier;
pub use sockets::Sockets;
