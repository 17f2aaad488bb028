import type { NamespacedName } from '../api/metadata.ts'

/** Of an object with an exportTo. */
export type Exported = NamespacedName & { exportTo: readonly string[] }

/** How an object is exported to the sidecars of a namespace: by name, by `.` in its own, to all, or not at all. */
export type Visibility = 'private' | 'exported' | 'public' | 'hidden'

/**
 * How the sidecars of a namespace see an object. What is exported to all is public whatever else is listed, and what is exported to
 * nobody is hidden otherwise. An empty list is the mesh's default, `*` unless MeshConfig says otherwise.
 * Istio 1.31 pilot/pkg/model/push_context.go, initServiceRegistry and initVirtualServices.
 */
export const visibilityFrom = (client: string, { namespace, exportTo }: Exported): Visibility => {
  if (exportTo.length === 0 || exportTo.includes('*')) return 'public'
  if (exportTo.includes('~')) return 'hidden'
  if (client === namespace) return exportTo.some((one) => one === '.' || one === namespace) ? 'private' : 'hidden'
  return exportTo.includes(client) ? 'exported' : 'hidden'
}

export const isVisible = (client: string, exported: Exported): boolean => visibilityFrom(client, exported) !== 'hidden'

/** The namespaces that an exportTo names, for which it makes a difference. */
export const namespacesIn = ({ namespace, exportTo }: Exported): string[] => [
  namespace,
  ...exportTo.filter((one) => one !== '.' && one !== '*' && one !== '~'),
]

/** Whether all namespaces see it alike. */
export const isPublic = ({ exportTo }: Exported): boolean => exportTo.length === 0 || exportTo.includes('*')
