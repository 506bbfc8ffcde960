// Where the page starts: as a whole, or as figures of an article.
import './studio.css' // before the components, whose own styles come after it
import { mount } from 'svelte'
import App from './App.svelte'
import type { Backend } from './backend'
import { BrowserBackend } from './engine/browser'
import { figure } from './figures'
import { readFragment } from './share'
import { ServerBackend } from './server'
import { followSystem } from './theme.svelte'

/** The styles of figures, which `make article` puts beside the script. */
declare global {
  var gridclozeStyle: string | undefined
}

let made: Backend | null = null
const browser = async (): Promise<Backend> => (made ??= new BrowserBackend())

/** Models in the page answer first, then the server it came from, then whatever model is dropped on it. */
async function start(): Promise<Backend> {
  const embedded = document.getElementById('gridcloze-models')?.textContent?.trim() ?? '[]'
  const { token } = readFragment()
  return embedded.length <= 2 && token && location.protocol.startsWith('http') ? new ServerBackend(token) : browser()
}

followSystem()
/** In a shadow of its element, where the styles of the text around do not reach; the picture that stands there stays. */
function show(target: HTMLElement): void {
  const { component, props } = figure(target.dataset.gridcloze!, target.dataset.model ?? '', start)
  const shadow = target.attachShadow({ mode: 'open' }), style = new CSSStyleSheet()
  style.replaceSync(globalThis.gridclozeStyle ?? '')
  shadow.adoptedStyleSheets = [style]
  mount(component, { target: shadow, props })
}
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue
    near.unobserve(target)
    show(target as HTMLElement)
  }
}, { rootMargin: '100%' }) // a reader who never comes so far loads no model
document.querySelectorAll('[data-gridcloze]').forEach((target) => near.observe(target))
const whole = document.getElementById('gridcloze')
if (whole) mount(App, { target: whole, props: { start, browser } })
