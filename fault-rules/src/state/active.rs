//! `max_active`: how many exchanges may be under a fault at once.

/// A counter with a bound.
#[derive(Debug, Clone)]
pub struct ActiveCap {
    cap: Option<u64>,
    active: u64,
}

impl ActiveCap {
    /// A cap, or none.
    #[must_use]
    pub fn new(cap: Option<u64>) -> Self {
        Self { cap, active: 0 }
    }

    /// One more exchange comes under a fault; `false`: the cap is reached, the exchange must be spared and not left.
    pub fn enter(&mut self) -> bool {
        let fits = self.cap.is_none_or(|cap| self.active < cap);
        if fits {
            self.active = self.active.saturating_add(1);
        }
        fits
    }

    /// An exchange that entered is over.
    pub fn leave(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    /// Exchanges under a fault now.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active
    }

    /// Another cap after a reload; those inside stay.
    pub fn set_cap(&mut self, cap: Option<u64>) {
        self.cap = cap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_frees() {
        let mut cap = ActiveCap::new(Some(2));
        assert!(cap.enter() && cap.enter());
        assert!(!cap.enter());
        cap.leave();
        assert!(cap.enter());
        cap.set_cap(Some(1));
        cap.leave();
        assert!(!cap.enter());
        cap.set_cap(None);
        assert!(cap.enter());
        assert_eq!(cap.active(), 2);
    }

    #[test]
    fn leaving_an_empty_cap_is_harmless() {
        let mut cap = ActiveCap::new(Some(0));
        cap.leave();
        assert!(!cap.enter());
        assert_eq!(cap.active(), 0);
    }
}
