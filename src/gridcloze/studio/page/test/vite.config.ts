// The page with the mock in place of the engine, for the tests of the page; `--outDir` says where to.
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

const root = new URL('..', import.meta.url).pathname
const mock = { name: 'mock', enforce: 'pre' as const, resolveId: (id: string) => (/engine\/(browser|windows)$/.test(id) ? `${root}test/mock.ts` : null) }

export default defineConfig({
  root, base: './', plugins: [mock, svelte()],
  build: { emptyOutDir: true },
})
