//! How close an amplified load comes to its capture.
