export interface Item {
  sku: string;
  name: string;
  place: string;
  stock: number;
  /** What the shelf holds when it is full. */
  capacity: number;
  /** Below this it is time to reorder. */
  reorder: number;
}

export const items: readonly Item[] = [
  { sku: 'FR-210', name: 'Touring frame', place: 'Aisle 2', stock: 42, capacity: 60, reorder: 15 },
  { sku: 'WH-700', name: 'Wheelset 700c', place: 'Aisle 4', stock: 18, capacity: 80, reorder: 20 },
  { sku: 'BR-044', name: 'Disc brake kit', place: 'Aisle 1', stock: 126, capacity: 150, reorder: 40 },
  { sku: 'SD-019', name: 'Leather saddle', place: 'Aisle 7', stock: 7, capacity: 50, reorder: 12 },
  { sku: 'LT-330', name: 'Dynamo light', place: 'Aisle 3', stock: 64, capacity: 90, reorder: 25 },
];
