import type { Rule, VirtualServiceSubject } from './rule.ts'

/** A spelling of which people expect that it means the mesh: `Mesh`, `istio-system/mesh`. */
const isMisspelt = (gateway: string): boolean => gateway !== 'mesh' && /(^|\/)mesh$/i.test(gateway)

export const virtualServiceMeshGateway: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-mesh-gateway',
  kinds: ['convention', 'broken'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'The VirtualService of a virtual host does not list the gateway `mesh`, or none of its routes is left for it.',
  why:
    '`mesh` stands for all sidecars. Where `gateways` names only others, sidecars ignore the VirtualService, and callers reach ' +
    'the virtual host’s own empty cluster: 503. It is compared letter by letter: `Mesh` and `istio-system/mesh` are names of ' +
    'Gateway objects. An absent or empty list means the mesh; it works, but the runbook wants it said, since whoever adds a ' +
    'gateway later would take the mesh away without noticing.',
  check: ({ virtualService: { gateways }, emission }) => {
    // A host that is not there yet may turn out to be no virtual host's.
    const rests = emission.hosts.some(({ kind }) => kind === 'missing') ? { missing: true as const } : {}
    if (gateways.length === 0) {
      return [
        {
          field: 'spec.gateways',
          about: 'absent',
          ...rests,
          problem: 'gateways does not say mesh',
          reason: 'absent it means the mesh, but whoever adds a gateway later takes the mesh away unawares',
          fix: 'write gateways: [mesh]',
        },
      ]
    }
    if (!emission.onMesh) {
      const misspelt = gateways.findIndex(isMisspelt)
      // Another VirtualService of the same batch may serve the name on the mesh.
      const common = { about: 'not listed', missing: true as const }
      return [
        misspelt === -1
          ? {
              ...common,
              field: 'spec.gateways',
              problem: `gateways lists ${gateways.join(', ')} but not mesh`,
              reason: 'sidecars ignore this VirtualService, and callers in the mesh get 503',
              fix: 'add mesh to gateways',
            }
          : {
              ...common,
              field: `spec.gateways[${misspelt}]`,
              problem: `"${gateways[misspelt]}" names a Gateway object, not the mesh`,
              reason: 'sidecars ignore this VirtualService, and callers in the mesh get 503',
              fix: 'write it as mesh, in lower case and without a namespace',
            },
      ]
    }
    const [first] = emission.routes
    if (first?.match === undefined || !emission.routes.every(({ dropped }) => dropped === 'gateway')) return []
    return [
      {
        field: `${first.match.field}.gateways`,
        about: 'matches',
        ...rests,
        problem: 'no route is left for the mesh: the gateways of every match leave it out',
        reason: 'sidecars are given no route, and callers in the mesh get 503',
        fix: 'add mesh to the gateways of the matches that are for the mesh, or leave them out there',
      },
    ]
  },
}
