// The address's fragment: a puzzle to share, a token that only this tab keeps, the name of a model.
import { bytesOfText, squeeze, unsqueeze } from './bytes'
import { HIDDEN, type Sheet, sheetOf } from './grid'

const MOST_CELLS = 2 ** 20

/** A puzzle as text for an address; what lies beneath hidden cells stays out, unless `whole`. */
export async function packed(sheet: Sheet, whole = false): Promise<string> {
  const numbers = [...sheet.cells, ...(whole ? sheet.beneath : [])]
  const words = Uint16Array.from([sheet.height, sheet.width, ...numbers.map((symbol) => symbol + 1)])
  const bytes = await squeeze(new Uint8Array(words.buffer), 'deflate-raw')
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export async function unpacked(text: string): Promise<Sheet> {
  try {
    const bytes = bytesOfText(atob(text.replaceAll('-', '+').replaceAll('_', '/')))
    const numbers = new Uint16Array((await unsqueeze(bytes, 'deflate-raw', 4 + 4 * MOST_CELLS)).buffer)
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

export async function linkTo(sheet: Sheet, model: string | null): Promise<string> {
  const parameters = new URLSearchParams({ puzzle: await packed(sheet), ...(model ? { model } : {}) })
  return `${location.href.split('#')[0]}#${parameters}`
}

export function kept(name: string): string | null {
  try { return sessionStorage.getItem(name) } catch { return null } // a page in a frame may be denied its storage
}

export function keep(name: string, text: string): void {
  try { sessionStorage.setItem(name, text) } catch { /* full, or denied: the page works without */ }
}
