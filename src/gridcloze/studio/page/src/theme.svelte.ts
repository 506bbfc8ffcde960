// Light or dark: as the system wants it, or as the reader chose, here or on the page around us.
export const theme = $state({ dark: false, chosen: null as boolean | null })

export function followSystem(): void {
  const system = matchMedia('(prefers-color-scheme: dark)')
  const update = () => {
    const around = document.documentElement.dataset.theme ?? (document.body.classList.contains('dark') ? 'dark' : '')
    theme.dark = theme.chosen ?? (around ? around === 'dark' : system.matches)
  }
  system.addEventListener('change', update)
  new MutationObserver(update).observe(document.documentElement, { attributes: true, subtree: false })
  new MutationObserver(update).observe(document.body, { attributes: true, subtree: false })
  update()
}

export function choose(dark: boolean): void {
  theme.dark = theme.chosen = dark
}
