import type { Fields } from './fields.ts'

/** What identifies an object; `<namespace>/<name>` in text. The namespace is empty where its kind is cluster-scoped. */
export type NamespacedName = { namespace: string; name: string }

export const formatName = ({ namespace, name }: NamespacedName): string => `${namespace}/${name}`

export const sameName = (a: NamespacedName, b: NamespacedName): boolean =>
  a.namespace === b.namespace && a.name === b.name

/** The identity in an object's metadata; an empty namespace where none is given, an empty name before generateName is expanded. */
export const readName = (object: Fields): NamespacedName => {
  const metadata = object.object('metadata')
  return { namespace: metadata.string('namespace') ?? '', name: metadata.string('name') ?? '' }
}

/** Whether a text can be an object's name at all. Names come from users' manifests, and only these may become part of a path. */
export const isObjectName = (text: string): boolean =>
  text.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text)

/** Whether a text can be the name of a Service or a Namespace: a DNS label, 63 characters at most. */
export const isLabelName = (text: string): boolean => text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text)
