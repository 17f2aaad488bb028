import { Fields } from './fields.ts'
import { readName } from './metadata.ts'

/** What the rules read of a v1 Namespace. */
export type Namespace = { name: string; labels: ReadonlyMap<string, string> }

/** Projects a v1 Namespace. Throws MalformedObject. */
export const parseNamespace = (object: unknown): Namespace => {
  const fields = new Fields(object)
  return { name: readName(fields).name, labels: fields.object('metadata').stringMap('labels') }
}
