//! The inline proxy on pingora: records and injects.
