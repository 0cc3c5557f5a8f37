//! Real servers: started, killed, restarted, and nothing left behind.

mod servers;
