//! Accounts, sessions, carts and orders.
//!
//! Two tables, sharded. Where both locks are held, the account's is taken first. An order belongs to its account and
//! remembers the idempotency key it was made with, so that a repeated checkout finds it, even one that runs at the
//! same moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::Refusal;
use super::identity::{Id, Mint, PasswordHash};
use super::limits;
use super::shards::Shards;

/// What came of the requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// Accounts made.
    pub(crate) accounts: u64,
    /// Sessions begun, which is logins that succeeded.
    pub(crate) sessions: u64,
    /// Orders placed, each once.
    pub(crate) orders: u64,
    /// Checkouts that named the idempotency key of an order already placed and were given that order.
    pub(crate) duplicate_orders_prevented: u64,
    /// Accounts forgotten because the table was full.
    pub(crate) accounts_evicted: u64,
    /// Sessions forgotten because the table was full.
    pub(crate) sessions_evicted: u64,
}

/// One product of a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) product: u32,
    pub(super) quantity: u32,
}

/// An order, as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) order: u64,
    pub(super) items: u32,
    pub(super) total_cents: u64,
}

/// What a checkout came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checkout {
    /// A new order.
    Placed(Order),
    /// The order that this key had placed before.
    Repeated(Order),
}

pub(super) struct Store {
    mint: Mint,
    accounts: Shards<Account>,
    sessions: Shards<Session>,
    orders_kept: AtomicU64,
    made: Made,
}

struct Account {
    password: PasswordHash,
    orders: Vec<(Option<u128>, Order)>,
}

struct Session {
    account: Id,
    cart: Vec<Line>,
    /// When the cart was last added to.
    touched: Instant,
}

#[derive(Default)]
struct Made {
    accounts: AtomicU64,
    sessions: AtomicU64,
    orders: AtomicU64,
    duplicates: AtomicU64,
    accounts_evicted: AtomicU64,
    sessions_evicted: AtomicU64,
}

impl Store {
    pub(super) fn new(seed: u64) -> Store {
        Store {
            mint: Mint::new(seed),
            accounts: Shards::new(limits::ACCOUNTS),
            sessions: Shards::new(limits::SESSIONS),
            orders_kept: AtomicU64::new(0),
            made: Made::default(),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            accounts: get(&self.made.accounts),
            sessions: get(&self.made.sessions),
            orders: get(&self.made.orders),
            duplicate_orders_prevented: get(&self.made.duplicates),
            accounts_evicted: get(&self.made.accounts_evicted),
            sessions_evicted: get(&self.made.sessions_evicted),
        }
    }

    /// A new account and its number. The e-mail address is no identity here: a clone that signs up with the recorded
    /// one is another customer.
    pub(super) fn sign_up(&self, password: &str) -> Id {
        let id = self.mint.id();
        let account = Account { password: self.mint.password(id, password), orders: Vec::new() };
        if let Some(evicted) = self.accounts.insert(id, account) {
            bump(&self.made.accounts_evicted);
            self.orders_kept.fetch_sub(evicted.orders.len() as u64, Ordering::Relaxed);
        }
        bump(&self.made.accounts);
        id
    }

    /// A new session of `account`, if the password is right.
    pub(super) fn log_in(&self, account: Id, password: &str) -> Result<Id, Refusal> {
        let offered = self.mint.password(account, password);
        if self.accounts.with(account, |known| known.password == offered) != Some(true) {
            return Err(Refusal::WrongPassword);
        }
        let id = self.mint.id();
        if self.sessions.insert(id, Session { account, cart: Vec::new(), touched: Instant::now() }).is_some()
        {
            bump(&self.made.sessions_evicted);
        }
        bump(&self.made.sessions);
        Ok(id)
    }

    /// Adds to the cart of `session` and returns the cart.
    pub(super) fn add_to_cart(&self, session: Id, line: Line) -> Result<Vec<Line>, Refusal> {
        let add = |session: &mut Session| {
            session.touched = Instant::now();
            add(&mut session.cart, line)
        };
        self.sessions.with(session, add).unwrap_or(Err(Refusal::NoSession))
    }

    /// How many products are in the cart of `session`, and for how long it has not been added to.
    pub(super) fn reservation(&self, session: Id) -> Result<(usize, Duration), Refusal> {
        let look = |session: &mut Session| (session.cart.len(), session.touched.elapsed());
        self.sessions.with(session, look).ok_or(Refusal::NoSession)
    }

    pub(super) fn cart(&self, session: Id) -> Result<Vec<Line>, Refusal> {
        self.sessions.with(session, |session| session.cart.clone()).ok_or(Refusal::NoSession)
    }

    pub(super) fn orders(&self, session: Id) -> Result<Vec<Order>, Refusal> {
        let account = self.account_of(session)?;
        let all = |account: &mut Account| account.orders.iter().map(|(_, order)| *order).collect();
        self.accounts.with(account, all).ok_or(Refusal::NoSession)
    }

    /// Turns the cart of `session` into an order, once for each `key`; `price` is what one of a product costs.
    pub(super) fn check_out(
        &self,
        session: Id,
        key: Option<&[u8]>,
        price: impl Fn(u32) -> u64,
    ) -> Result<Checkout, Refusal> {
        let account = self.account_of(session)?;
        let key = key.map(|key| self.mint.key(key));
        let place = |account: &mut Account| self.place(account, session, key, price);
        self.accounts.with(account, place).unwrap_or(Err(Refusal::NoSession))
    }

    /// Runs under the account's lock: that is what makes a key count once.
    fn place(
        &self,
        account: &mut Account,
        session: Id,
        key: Option<u128>,
        price: impl Fn(u32) -> u64,
    ) -> Result<Checkout, Refusal> {
        let same_key = |(known, _): &&(Option<u128>, Order)| key.is_some() && *known == key;
        if let Some((_, order)) = account.orders.iter().find(same_key) {
            bump(&self.made.duplicates);
            return Ok(Checkout::Repeated(*order));
        }
        if limits::ORDERS_PER_ACCOUNT <= account.orders.len() {
            return Err(Refusal::TooManyOrders);
        }
        if limits::ORDERS <= self.orders_kept.load(Ordering::Relaxed) {
            return Err(Refusal::ShopFull);
        }
        let take = |session: &mut Session| std::mem::take(&mut session.cart);
        let cart = self.sessions.with(session, take).ok_or(Refusal::NoSession)?;
        if cart.is_empty() {
            return Err(Refusal::CartEmpty);
        }
        let order = Order {
            order: self.made.orders.fetch_add(1, Ordering::Relaxed) + 1,
            items: cart.iter().map(|line| line.quantity).sum(),
            total_cents: cart.iter().map(|line| price(line.product) * u64::from(line.quantity)).sum(),
        };
        bump(&self.orders_kept);
        account.orders.push((key, order));
        Ok(Checkout::Placed(order))
    }

    fn account_of(&self, session: Id) -> Result<Id, Refusal> {
        self.sessions.with(session, |session| session.account).ok_or(Refusal::NoSession)
    }
}

fn add(cart: &mut Vec<Line>, line: Line) -> Result<Vec<Line>, Refusal> {
    let known = cart.iter().position(|known| known.product == line.product);
    match known {
        Some(at) if cart[at].quantity + line.quantity <= limits::QUANTITY => {
            cart[at].quantity += line.quantity;
        }
        None if cart.len() < limits::CART_LINES => cart.push(line),
        _ => return Err(Refusal::CartFull),
    }
    Ok(cart.clone())
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line { product: 3, quantity: 2 };

    fn customer(store: &Store) -> Id {
        let account = store.sign_up("rain");
        store.log_in(account, "rain").unwrap()
    }

    #[test]
    fn a_key_places_one_order() {
        let store = Store::new(1);
        let session = customer(&store);
        store.add_to_cart(session, LINE).unwrap();
        let placed = store.check_out(session, Some(b"k"), |_| 150).unwrap();
        let Checkout::Placed(order) = placed else { panic!("{placed:?}") };
        assert_eq!((order.items, order.total_cents), (2, 300));
        assert_eq!(store.check_out(session, Some(b"k"), |_| 150), Ok(Checkout::Repeated(order)));
        assert_eq!(store.check_out(session, Some(b"other"), |_| 150), Err(Refusal::CartEmpty));
        assert_eq!(store.check_out(session, None, |_| 150), Err(Refusal::CartEmpty));
        assert_eq!(store.orders(session), Ok(vec![order]));
        let totals = store.totals();
        assert_eq!((totals.orders, totals.duplicate_orders_prevented), (1, 1));
    }

    #[test]
    fn one_key_of_two_customers_is_two_orders() {
        let store = Store::new(1);
        for _ in 0..2 {
            let session = customer(&store);
            store.add_to_cart(session, LINE).unwrap();
            assert!(matches!(store.check_out(session, Some(b"k"), |_| 1), Ok(Checkout::Placed(_))));
        }
        assert_eq!(store.totals().orders, 2);
    }

    #[test]
    fn twin_checkouts_place_one_order() {
        let store = Store::new(1);
        for _ in 0..200 {
            let session = customer(&store);
            store.add_to_cart(session, LINE).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| store.check_out(session, Some(b"k"), |_| 1).unwrap());
                }
            });
        }
        let totals = store.totals();
        assert_eq!((totals.orders, totals.duplicate_orders_prevented), (200, 200));
    }

    #[test]
    fn strangers_get_nothing() {
        let store = Store::new(1);
        let account = store.sign_up("rain");
        assert_eq!(store.log_in(account, "Rain"), Err(Refusal::WrongPassword));
        assert_eq!(store.log_in(Id(1), "rain"), Err(Refusal::WrongPassword));
        assert_eq!(store.cart(Id(1)), Err(Refusal::NoSession));
        assert_eq!(store.check_out(account, None, |_| 1), Err(Refusal::NoSession));
        assert_eq!(store.totals().sessions, 0);
    }

    #[test]
    fn carts_and_accounts_have_bounds() {
        let store = Store::new(1);
        let session = customer(&store);
        store.add_to_cart(session, Line { product: 0, quantity: limits::QUANTITY }).unwrap();
        assert_eq!(store.add_to_cart(session, Line { product: 0, quantity: 1 }), Err(Refusal::CartFull));
        for product in 1..u32::try_from(limits::CART_LINES).unwrap() {
            store.add_to_cart(session, Line { product, quantity: 1 }).unwrap();
        }
        assert_eq!(store.add_to_cart(session, Line { product: 99, quantity: 1 }), Err(Refusal::CartFull));
        for _ in 0..limits::ORDERS_PER_ACCOUNT {
            store.check_out(session, None, |_| 1).unwrap();
            store.add_to_cart(session, LINE).unwrap();
        }
        assert_eq!(store.check_out(session, None, |_| 1), Err(Refusal::TooManyOrders));
        assert_eq!(store.cart(session), Ok(vec![LINE]), "a refused checkout leaves the cart");
    }
}
