-- What the overview and the page of roles show, by name; one statement a page.

