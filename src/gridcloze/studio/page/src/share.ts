// The address's fragment: a puzzle to share, a token that only this tab keeps, the name of a model.
import { deflateSync, inflateSync } from 'fflate'
import { HIDDEN, type Sheet, sheetOf } from './grid'

const MOST_CELLS = 2 ** 20

/** A puzzle as text for an address; what lies beneath hidden cells stays out, unless `whole`. */
export function packed(sheet: Sheet, whole = false): string {
  const numbers = [...sheet.cells, ...(whole ? sheet.beneath : [])]
  const bytes = deflateSync(new Uint8Array(Uint16Array.from([sheet.height, sheet.width, ...numbers.map((symbol) => symbol + 1)]).buffer))
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function unpacked(text: string): Sheet {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0))
    const numbers = new Uint16Array(inflateSync(bytes, { out: new Uint8Array(4 + 4 * MOST_CELLS) }).slice().buffer)
    const [height = 0, width = 0] = numbers, n = height * width
    const layers = (numbers.length - 2) / n
    if (!n || (layers !== 1 && layers !== 2)) throw new Error('cut')
    const symbols = Int16Array.from(numbers.subarray(2), (number) => number - 1)
    if (symbols.some((symbol) => symbol < HIDDEN || symbol > 255)) throw new Error('no symbol')
    return sheetOf(height, width, symbols.subarray(0, n), symbols.subarray(n * (layers - 1)))
  } catch {
    throw new Error('The puzzle in this link is damaged. Ask for the link again, and copy all of it.')
  }
}

/** What stands in the fragment; takes the token out of the address bar, and keeps it for reloads of this tab. */
export function readFragment(): { token: string | null; puzzle: string | null; model: string | null } {
  const parameters = new URLSearchParams(location.hash.slice(1)), given = parameters.get('token')
  if (given) {
    keep('gridcloze-token', given)
    parameters.delete('token')
    history.replaceState(null, '', `${location.pathname}${location.search}${parameters.size ? `#${parameters}` : ''}`)
  }
  return { token: given ?? kept('gridcloze-token'), puzzle: parameters.get('puzzle'), model: parameters.get('model') }
}

export function linkTo(sheet: Sheet, model: string | null): string {
  const parameters = new URLSearchParams({ puzzle: packed(sheet), ...(model ? { model } : {}) })
  return `${location.href.split('#')[0]}#${parameters}`
}

export function kept(name: string): string | null {
  try { return sessionStorage.getItem(name) } catch { return null } // a page in a frame may be denied its storage
}

export function keep(name: string, text: string): void {
  try { sessionStorage.setItem(name, text) } catch { /* full, or denied: the page works without */ }
}
