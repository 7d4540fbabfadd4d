/**
 * The files of a ZIP, as pieces of it: nothing is unpacked, and nothing is read but its list.
 *
 * Entries that are stored as they are, as the dashboard makes them; Zip64 where an archive is that large. Others are left
 * out, and counted. Source: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
 */

import { t } from "./words.js";

const ZIP_END = 0x06054b50;
const ZIP_END64 = 0x06064b50;
const ZIP_END64_PLACE = 0x07064b50;
const ZIP_ENTRY = 0x02014b50;
const ZIP_LOCAL = 0x04034b50;
const MOST_LIST = 64 * 1024 * 1024; // bytes of the list of entries

export class ZipUnreadable extends Error {
  constructor(text, values) {
    super(t(text, values));
  }
}

const viewOf = async (blob, from, to) => new DataView(await blob.slice(from, to).arrayBuffer());

/** @param {Blob} zip @returns {Promise<boolean>} */
export async function isZip(zip) {
  return zip.size >= 22 && [ZIP_LOCAL, ZIP_END].includes((await viewOf(zip, 0, 4)).getUint32(0, true));
}

/**
 * @param {Blob} zip
 * @returns {Promise<{files: File[], left: number}>} files under their whole names; how many had to be left out
 * @throws {ZipUnreadable}
 */
export async function filesOf(zip) {
  const { at, size, count } = await listOf(zip);
  if (size > MOST_LIST || at + size > zip.size) throw new ZipUnreadable("its list of files is damaged");
  const list = await viewOf(zip, at, at + size);
  const files = [];
  let left = 0;
  for (let n = 0, here = 0; n < count; n++) {
    if (here + 46 > size || list.getUint32(here, true) !== ZIP_ENTRY) throw new ZipUnreadable("its list of files is damaged");
    const entry = entryOf(list, here);
    here = entry.next;
    if (entry.name.endsWith("/")) continue;
    if (entry.method !== 0 || entry.flags & 1) left++;
    else files.push(await fileOf(zip, entry));
  }
  return { files, left };
}

async function listOf(zip) {
  const from = Math.max(0, zip.size - 66000);
  const tail = await viewOf(zip, from, zip.size);
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) !== ZIP_END) continue;
    const found = { count: tail.getUint16(at + 10, true), size: tail.getUint32(at + 12, true), at: tail.getUint32(at + 16, true) };
    const place = at - 20;
    if (place < 0 || tail.getUint32(place, true) !== ZIP_END64_PLACE) return found;
    const end = await viewOf(zip, large(tail, place + 8), large(tail, place + 8) + 56);
    if (end.byteLength < 56 || end.getUint32(0, true) !== ZIP_END64) break;
    return { count: large(end, 32), size: large(end, 40), at: large(end, 48) };
  }
  throw new ZipUnreadable("it has no end: the download may have been cut off");
}

const large = (view, at) => Number(view.getBigUint64(at, true));

function entryOf(list, at) {
  const [nameLength, extraLength, noteLength] = [28, 30, 32].map((place) => list.getUint16(at + place, true));
  const name = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, nameLength));
  const entry = {
    name, flags: list.getUint16(at + 8, true), method: list.getUint16(at + 10, true),
    size: list.getUint32(at + 20, true), whole: list.getUint32(at + 24, true), local: list.getUint32(at + 42, true),
    next: at + 46 + nameLength + extraLength + noteLength,
  };
  for (let place = at + 46 + nameLength; place + 4 <= at + 46 + nameLength + extraLength; place += 4 + list.getUint16(place + 2, true)) {
    if (list.getUint16(place, true) !== 1) continue;
    let here = place + 4; // those that did not fit, in this order
    for (const field of ["whole", "size", "local"]) {
      if (entry[field] !== 0xffffffff) continue;
      entry[field] = large(list, here);
      here += 8;
    }
  }
  return entry;
}

async function fileOf(zip, { name, local, size }) {
  const head = await viewOf(zip, local, local + 30);
  if (head.byteLength < 30 || head.getUint32(0, true) !== ZIP_LOCAL) throw new ZipUnreadable("{name} is not where its list says", { name });
  const start = local + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  return new File([zip.slice(start, start + size)], name);
}
