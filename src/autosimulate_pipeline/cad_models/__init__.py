"""CAD models: reading OBJ, GLB and PLY files and BOP's folders."""
