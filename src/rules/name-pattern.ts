/** A pattern for names, in which `*` stands for any characters. No regular expression: of many asterisks one could take for ever. */
export class NamePattern {
  readonly pattern: string

  constructor(pattern: string) {
    this.pattern = pattern
  }

  test(name: string): boolean {
    const [head = '', ...parts] = this.pattern.split('*')
    const tail = parts.pop()
    if (tail === undefined) return name === head
    if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false
    let rest = name.slice(head.length, name.length - tail.length)
    return parts.every((part) => {
      const at = rest.indexOf(part)
      rest = rest.slice(at + part.length)
      return at !== -1
    })
  }
}
