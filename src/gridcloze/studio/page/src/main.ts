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

let made: Backend | null = null
const browser = async (): Promise<Backend> => (made ??= new BrowserBackend())

/** Models in the page answer first, then the server it came from, then whatever model is dropped on it. */
async function start(): Promise<Backend> {
  const embedded = document.getElementById('gridcloze-models')?.textContent?.trim() ?? '[]'
  const { token } = readFragment()
  return embedded.length <= 2 && token && location.protocol.startsWith('http') ? new ServerBackend(token) : browser()
}

followSystem()
const figures = document.querySelectorAll<HTMLElement>('[data-gridcloze]')
for (const target of figures) {
  const { component, props } = figure(target.dataset.gridcloze!, target.dataset.model ?? '', start)
  target.replaceChildren() // the picture that stood there
  mount(component, { target, props })
}
const whole = document.getElementById('gridcloze')
if (whole) mount(App, { target: whole, props: { start, browser } })
