// Numbers as people read them.
export const probability = (value: number): string =>
  value > 0 && value < 0.001 ? '< 0.001' : value < 1 && value > 0.999 ? '> 0.999' : value.toFixed(3)

export function bits(value: number): string {
  const size = Math.abs(value)
  return (size === 0 ? '0' : value.toFixed(size < 0.1 ? 4 : size < 10 ? 2 : 1)).replace('-', '−')
}

export const place = (cell: number, width: number): string => `row ${Math.floor(cell / width)}, column ${cell % width}`
