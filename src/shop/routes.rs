//! Which request is for what. Pure.

use hyper::Method;

use super::side::Role;

/// What a request is for, as it is counted. `HEAD` counts as the `GET` of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Home,
    Products,
    Product,
    SignUp,
    Login,
    ShowCart,
    AddToCart,
    Checkout,
    Orders,
    Events,
    Charge,
    Search,
    Options,
    WrongMethod,
    NotFound,
}

impl Route {
    /// All routes, in the order in which they are reported; the place of a route is its number.
    pub(super) const ALL: [Route; 15] = [
        Route::Home,
        Route::Products,
        Route::Product,
        Route::SignUp,
        Route::Login,
        Route::ShowCart,
        Route::AddToCart,
        Route::Checkout,
        Route::Orders,
        Route::Events,
        Route::Charge,
        Route::Search,
        Route::Options,
        Route::WrongMethod,
        Route::NotFound,
    ];

    /// The name it is counted under.
    pub(super) fn label(self) -> &'static str {
        match self {
            Route::Home => "GET /",
            Route::Products => "GET /api/products",
            Route::Product => "GET /api/products/{id}",
            Route::SignUp => "POST /api/signup",
            Route::Login => "POST /api/login",
            Route::ShowCart => "GET /api/cart",
            Route::AddToCart => "POST /api/cart",
            Route::Checkout => "POST /api/checkout",
            Route::Orders => "GET /api/orders",
            Route::Events => "GET /api/events",
            Route::Charge => "POST /charge",
            Route::Search => "GET /search",
            Route::Options => "OPTIONS",
            Route::WrongMethod => "(method not allowed)",
            Route::NotFound => "(not found)",
        }
    }
}

/// What a request of `method` for `path` is for, at a shop or at a service behind it.
pub(super) fn find(role: Role, method: &Method, path: &str) -> Route {
    let Some(offer) = offer(role, path) else { return Route::NotFound };
    match *method {
        Method::GET | Method::HEAD => offer.read.unwrap_or(Route::WrongMethod),
        Method::POST => offer.write.unwrap_or(Route::WrongMethod),
        Method::OPTIONS => Route::Options,
        _ => Route::WrongMethod,
    }
}

/// The `Allow` header of a path of the shop.
pub(super) fn allow(path: &str) -> &'static str {
    match offer(Role::Shop, path) {
        Some(Offer { read: Some(_), write: None }) => "GET, HEAD, OPTIONS",
        Some(Offer { read: None, write: Some(_) }) => "POST, OPTIONS",
        _ => "GET, HEAD, POST, OPTIONS",
    }
}

struct Offer {
    read: Option<Route>,
    write: Option<Route>,
}

fn offer(role: Role, path: &str) -> Option<Offer> {
    let read = |route| Some(Offer { read: Some(route), write: None });
    let write = |route| Some(Offer { read: None, write: Some(route) });
    match (role, path) {
        (Role::Payments, "/charge") => return write(Route::Charge),
        (Role::Search, "/search") => return read(Route::Search),
        (Role::Payments | Role::Search, _) => return None,
        (Role::Shop, _) => {}
    }
    match path {
        "/" => read(Route::Home),
        "/api/products" => read(Route::Products),
        "/api/signup" => write(Route::SignUp),
        "/api/login" => write(Route::Login),
        "/api/cart" => Some(Offer { read: Some(Route::ShowCart), write: Some(Route::AddToCart) }),
        "/api/checkout" => write(Route::Checkout),
        "/api/orders" => read(Route::Orders),
        "/api/events" => read(Route::Events),
        "*" => Some(Offer { read: None, write: None }),
        _ if path.starts_with("/api/products/") => read(Route::Product),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, path: &str, expected: Route) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(find(Role::Shop, &method, path), expected, "{method} {path}");
    }

    #[test]
    fn requests_find_their_route() {
        check("GET", "/", Route::Home);
        check("HEAD", "/", Route::Home);
        check("GET", "/api/products/7", Route::Product);
        check("GET", "/api/cart", Route::ShowCart);
        check("POST", "/api/cart", Route::AddToCart);
        check("DELETE", "/api/cart", Route::WrongMethod);
        check("GET", "/api/checkout", Route::WrongMethod);
        check("POST", "/api/checkout", Route::Checkout);
        check("OPTIONS", "/api/checkout", Route::Options);
        check("OPTIONS", "*", Route::Options);
        check("GET", "/favicon.ico", Route::NotFound);
        check("OPTIONS", "/nowhere", Route::NotFound);
        check("POST", "/charge", Route::NotFound);
        check("CONNECT", "", Route::NotFound);
    }

    #[test]
    fn the_services_behind_have_one_route_each() {
        let find = |role, method, path| find(role, &method, path);
        assert_eq!(find(Role::Payments, Method::POST, "/charge"), Route::Charge);
        assert_eq!(find(Role::Payments, Method::GET, "/charge"), Route::WrongMethod);
        assert_eq!(find(Role::Search, Method::GET, "/search"), Route::Search);
        assert_eq!(find(Role::Search, Method::POST, "/charge"), Route::NotFound);
        assert_eq!(find(Role::Payments, Method::GET, "/"), Route::NotFound);
    }

    #[test]
    fn a_route_knows_its_number() {
        for (number, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, number, "{route:?}");
        }
    }

    #[test]
    fn allow_names_what_a_path_takes() {
        assert_eq!(allow("/api/checkout"), "POST, OPTIONS");
        assert_eq!(allow("/"), "GET, HEAD, OPTIONS");
        assert_eq!(allow("/api/cart"), "GET, HEAD, POST, OPTIONS");
    }
}
