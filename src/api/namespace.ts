import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** What the rules read of a v1 Namespace. */
export type Namespace = NamespacedName & { labels: ReadonlyMap<string, string> }

/** Projects a v1 Namespace. Throws MalformedObject. */
export const parseNamespace = (object: unknown): Namespace => {
  const fields = new Fields(object)
  return { ...readName(fields), labels: fields.object('metadata').stringMap('labels') }
}
