//! What the shop sells. Made up once, answered from prepared bytes.

use bytes::Bytes;
use serde_json::json;

/// The products, and every answer about them ready to send.
pub(super) struct Catalogue {
    products: Vec<Product>,
    list: Bytes,
    pages: Vec<Bytes>,
}

struct Product {
    name: String,
    price_cents: u64,
}

impl Catalogue {
    pub(super) fn new() -> Catalogue {
        Catalogue::with(
            |id, product| json!({"id": id, "name": product.name, "price_cents": product.price_cents}),
        )
    }

    /// One whose list and pages say no prices.
    pub(super) fn without_prices() -> Catalogue {
        Catalogue::with(|id, product| json!({"id": id, "name": product.name}))
    }

    fn with(page: impl Fn(usize, &Product) -> serde_json::Value) -> Catalogue {
        let products: Vec<Product> = MATERIALS.iter().enumerate().flat_map(|(i, m)| make(i, m)).collect();
        let all: Vec<_> = products.iter().enumerate().map(|(id, product)| page(id, product)).collect();
        let pages = products.iter().enumerate().map(|(id, product)| {
            let mut full = page(id, product);
            full["description"] = json!(format!("{}. {DESCRIPTION}", product.name));
            Bytes::from(full.to_string())
        });
        Catalogue {
            pages: pages.collect(),
            list: Bytes::from(json!({ "products": all }).to_string()),
            products,
        }
    }

    /// The body of `GET /api/products`.
    pub(super) fn list(&self) -> Bytes {
        self.list.clone()
    }

    /// The body of `GET /api/products/{id}`.
    pub(super) fn page(&self, id: u32) -> Option<Bytes> {
        self.pages.get(id as usize).cloned()
    }

    /// The products whose name has these words in it, whatever the case of their letters, as JSON.
    pub(super) fn matching(&self, words: &str) -> Bytes {
        let words = words.to_lowercase();
        let all = self.products.iter().enumerate();
        let found = all.filter(|(_, product)| product.name.to_lowercase().contains(&words));
        let shown: Vec<_> = found
            .map(|(id, product)| json!({"id": id, "name": product.name, "price_cents": product.price_cents}))
            .collect();
        Bytes::from(json!({ "products": shown }).to_string())
    }

    /// Name and price of a product, in cents.
    pub(super) fn product(&self, id: u32) -> Option<(&str, u64)> {
        self.products.get(id as usize).map(|product| (product.name.as_str(), product.price_cents))
    }
}

fn make(number: usize, material: &str) -> Vec<Product> {
    let price = |thing: usize| 450 + 175 * number as u64 + 390 * thing as u64;
    THINGS
        .iter()
        .enumerate()
        .map(|(i, thing)| Product { name: format!("{material} {thing}"), price_cents: price(i) })
        .collect()
}

const MATERIALS: [&str; 6] = ["Oak", "Tin", "Linen", "Glass", "Wool", "Clay"];
const THINGS: [&str; 8] =
    ["bowl", "lamp", "kite", "clock", "barometer", "umbrella", "lantern", "weathervane"];
const DESCRIPTION: &str = "Made by hand in small numbers, tested in all weathers, and sent within two days. \
    It may be returned within a month, whatever the wind has done to it.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_by_words() {
        let found = |words: &str| {
            let list: serde_json::Value = serde_json::from_slice(&Catalogue::new().matching(words)).unwrap();
            list["products"].as_array().unwrap().len()
        };
        assert_eq!([found("LAMP"), found("oak l"), found("submarine")], [6, 2, 0]);
    }

    #[test]
    fn every_product_has_a_page_and_a_price() {
        let catalogue = Catalogue::new();
        let list: serde_json::Value = serde_json::from_slice(&catalogue.list()).unwrap();
        let products = list["products"].as_array().unwrap();
        assert_eq!(products.len(), 48);
        for (id, product) in (0u32..).zip(products) {
            let page: serde_json::Value = serde_json::from_slice(&catalogue.page(id).unwrap()).unwrap();
            let (name, price) = catalogue.product(id).unwrap();
            assert_eq!((&page["name"], &page["price_cents"]), (&product["name"], &product["price_cents"]));
            assert_eq!((page["name"].as_str(), page["price_cents"].as_u64()), (Some(name), Some(price)));
        }
        assert!(catalogue.page(48).is_none() && catalogue.product(u32::MAX).is_none());
    }
}
