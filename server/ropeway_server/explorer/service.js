// Requests to the service, by the token of this tab, and its answers: JSON, or pages of columns.

const KEPT = "ropeway-token";

export const token = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  set: value => value ? sessionStorage.setItem(KEPT, value) : sessionStorage.removeItem(KEPT),
};

/** One request; throws what a problem document says. Paths are relative: a proxy may serve us under a prefix. */
export async function ask(path, {body, ...options} = {}) {
  const headers = {Accept: "application/json", ...options.headers};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {...options, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `status ${answer.status}`);
}

export const json = async (path, options) => (await ask(path, options)).json();

/** The keys of a page of samples, and the number of each one's shard; the format is told in ropeway/wire.py. */
export async function keys(view) {
  const answer = await ask(`v1/views/${view}/samples`, {headers: {Accept: "application/msgpack"}});
  const {rows, columns} = unpack(new DataView(await answer.arrayBuffer()));
  const {data, offsets} = columns.key, ends = little(offsets), text = new TextDecoder();
  return Array.from({length: rows}, (_, row) => [
    text.decode(data.subarray(ends.getInt32(4 * row, true), ends.getInt32(4 * row + 4, true))),
    little(columns.shard.data).getInt32(4 * row, true),
  ]);
}

const little = bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** As much of msgpack as pages are made of: maps, arrays, text, bytes and whole numbers. */
function unpack(view) {
  let at = 0;
  const number = size => (at += size, size === 1 ? view.getUint8(at - 1) : size === 2 ? view.getUint16(at - 2) : view.getUint32(at - 4));
  const bytes = size => (at += size, new Uint8Array(view.buffer, at - size, size));
  const text = size => new TextDecoder().decode(bytes(size));
  const list = size => Array.from({length: size}, value);
  const map = size => Object.fromEntries(list(size * 2).reduce((pairs, one, turn) => {
    if (turn % 2) pairs.at(-1).push(one); else pairs.push([one]);
    return pairs;
  }, []));
  function value() {
    const kind = number(1);
    if (kind < 0x80) return kind;
    if (kind < 0x90) return map(kind & 15);
    if (kind < 0xa0) return list(kind & 15);
    if (kind < 0xc0) return text(kind & 31);
    switch (kind) {
      case 0xc4: case 0xc5: case 0xc6: return bytes(number(1 << (kind - 0xc4)));
      case 0xcc: case 0xcd: case 0xce: return number(1 << (kind - 0xcc));
      case 0xcf: return number(4) * 2 ** 32 + number(4);
      case 0xd9: case 0xda: case 0xdb: return text(number(1 << (kind - 0xd9)));
      case 0xdc: case 0xdd: return list(number(2 << (kind - 0xdc)));
      case 0xde: case 0xdf: return map(number(2 << (kind - 0xde)));
      default: throw new Error(`a page with the msgpack type ${kind}, which pages don't have`);
    }
  }
  return value();
}
