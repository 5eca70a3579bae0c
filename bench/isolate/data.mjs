// What a session holds: a counter, and a shopping cart as large as is asked for.

/** Data whose JSON text is `size` bytes long, or one item more. */
export function dataOf(size) {
  const data = { views: 0, user: "u-1842", cart: [] };
  for (let i = 0; JSON.stringify(data).length < size; i += 1) {
    data.cart.push({ sku: `sku-${1000 + i}`, title: `Item number ${i}`, qty: 1 + (i % 4), price: 1990 + i });
  }
  return data;
}

/** Data of `keys` keys of a few bytes each. */
export function keysOf(keys) {
  const data = { views: 0 };
  for (let i = 1; i < keys; i += 1) data[`key-${i}`] = i;
  return data;
}
